package coding

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// levels are for answers of an API: most of the gain at a small part of the time.
const (
	brotliLevel = 3
	gzipLevel   = 5
)

var gzips = pool.New("gzip-writers", func() *gzip.Writer {
	w, err := gzip.NewWriterLevel(nil, gzipLevel)
	if err != nil {
		panic(err) // of the level alone
	}
	return w
})

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // of the options alone
	}
	return e
})

// Compress appends plain, in the coding, to dst.
func Compress(dst []byte, coding string, plain []byte) []byte {
	switch coding {
	case Zstd:
		return encoder().EncodeAll(plain, dst)
	case Brotli:
		return fasthttp.AppendBrotliBytesLevel(dst, plain, brotliLevel)
	case Gzip:
		out := bytes.NewBuffer(dst)
		w := gzips.Get()
		defer gzips.Put(w)
		w.Reset(out)
		_, _ = w.Write(plain) // memory takes everything
		_ = w.Close()
		return out.Bytes()
	}
	return append(dst, plain...)
}
