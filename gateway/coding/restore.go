package coding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
)

// Errors of Restore.
var (
	ErrUnknown  = errors.New("the coding is not known")
	ErrTooLarge = errors.New("the body is larger than it may be")
	ErrNoRoom   = errors.New("there is no room for the body")
)

// maxWindow is what RFC 9659 lets a zstd body ask for.
const maxWindow = 8 << 20

// Restore is coded, a body of the Content-Encoding, as it was before, of at most limit
// bytes. It takes little more memory than that, whatever the body claims, and asks room
// for each step of it (nil: there always is). A body in several codings is ErrUnknown.
func Restore(encoding string, coded []byte, limit int, room func(step int) bool) ([]byte, error) {
	out := &bounded{limit: limit, room: room}
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return coded, nil
	case Gzip, "x-gzip":
		err = gunzip(out, coded)
	case Brotli:
		_, err = fasthttp.WriteUnbrotli(out, coded)
	case Zstd:
		err = unzstd(out, coded)
	default:
		return nil, ErrUnknown
	}
	switch {
	case out.denied:
		return nil, ErrNoRoom
	case out.full, errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("the body is no %s: %w", encoding, err)
	}
	return out.Bytes(), nil
}

func gunzip(out io.Writer, coded []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(coded))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return err
}

func unzstd(out io.Writer, coded []byte) error {
	r, err := zstd.NewReader(bytes.NewReader(coded), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(out, r.IOReadCloser())
	return err
}

// Step is what a body grows by.
const Step = 128 << 10

// bounded takes so many bytes, and fails with the next.
type bounded struct {
	bytes.Buffer
	limit  int
	full   bool
	room   func(int) bool
	given  int // bytes that there is room for
	denied bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.limit-b.Len() {
		b.full = true
		return 0, ErrTooLarge
	}
	for b.room != nil && b.Len()+len(p) > b.given {
		if !b.room(Step) {
			b.denied = true
			return 0, ErrNoRoom
		}
		b.given += Step
	}
	return b.Buffer.Write(p)
}

// ReadFrom hides the buffer's own, which knows no bound.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(onlyWriter{b}, r)
}

type onlyWriter struct{ io.Writer }
