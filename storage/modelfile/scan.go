package modelfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Bounds of what a sound header has. The greatest in use are far below them.
const (
	maxHeader  = 512 << 20 // bytes before the tensors' data
	maxEntries = 1 << 16
	maxTensors = 1 << 18
	maxKey     = 1 << 10 // bytes of a key or of a tensor's name
	maxText    = 16 << 20
	maxCount   = 1 << 14 // of blocks, heads and experts
)

// Types of values in a GGUF's metadata, and their bytes; 0: it has a length.
const (
	typeString = 8
	typeArray  = 9
)

var sizes = [...]int{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, typeString: 0, typeArray: 0, 10: 8, 11: 8, 12: 8}

// A scanner reads a GGUF's header to the end of its tensors' descriptions.
type scanner struct {
	r    *bufio.Reader
	left int64 // bytes that the header may still have
	err  error
	buf  [8]byte
}

// facts are the entries that say what a model is for; the library passes over them.
type facts struct {
	chat    bool
	pooling uint64
}

// scan checks that a GGUF's header is such as one of a model may be, and no larger
// than the file. It reads r from the beginning of the file on.
func scan(r io.Reader, size int64) (facts, error) {
	s := &scanner{r: bufio.NewReaderSize(r, 1<<16), left: min(size, maxHeader)}
	var f facts
	magic, version := s.number(4), s.number(4)
	if s.err == nil && (magic != 0x46554747 || version != 2 && version != 3) {
		return f, fmt.Errorf("no GGUF of version 2 or 3")
	}
	tensors, entries := s.number(8), s.number(8)
	if tensors > maxTensors || entries > maxEntries {
		s.fail("%d tensors and %d entries are more than a model has", tensors, entries)
	}
	for i := uint64(0); i < entries && s.err == nil; i++ {
		s.entry(&f)
	}
	for i := uint64(0); i < tensors && s.err == nil; i++ {
		s.tensor()
	}
	return f, s.err
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// number reads a little-endian number of so many bytes; 0 after an error.
func (s *scanner) number(bytes int) uint64 {
	if s.take(uint64(bytes)) {
		clear(s.buf[:])
		if _, err := io.ReadFull(s.r, s.buf[:bytes]); err != nil {
			s.fail("the header is cut short: %w", err)
		} else {
			return binary.LittleEndian.Uint64(s.buf[:])
		}
	}
	return 0
}

// take tells whether the header may have n more bytes, and counts them.
func (s *scanner) take(n uint64) bool {
	if s.err == nil && n > uint64(s.left) {
		s.fail("the header is larger than the file, or than any model's")
	}
	if s.err != nil {
		return false
	}
	s.left -= int64(n)
	return true
}

func (s *scanner) skip(n uint64) {
	if !s.take(n) {
		return
	}
	if _, err := s.r.Discard(int(n)); err != nil {
		s.fail("the header is cut short: %w", err)
	}
}

// text reads a string of at most so many bytes.
func (s *scanner) text(most uint64) string {
	n := s.number(8)
	if n > most {
		s.fail("a text of %d bytes is in the header", n)
	}
	if !s.take(n) {
		return ""
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(s.r, buf); err != nil {
		s.fail("the header is cut short: %w", err)
	}
	return string(buf)
}

func (s *scanner) entry(f *facts) {
	key, kind := s.text(maxKey), s.number(4)
	switch {
	case s.err != nil:
	case kind == typeString:
		text := s.text(maxText)
		f.chat = f.chat || strings.HasPrefix(key, "tokenizer.chat_template") && text != ""
	case kind == typeArray:
		s.array(key)
	case kind >= uint64(len(sizes)):
		s.fail("%.60q has a value of type %d", key, kind)
	default:
		raw := s.number(sizes[kind])
		if n := magnitude(kind, raw); strings.HasSuffix(key, "count") && !(n >= 0 && n <= maxCount) && key != "split.tensors.count" || n > maxTensors && key == "split.tensors.count" {
			s.fail("%.60q is %g", key, n)
		}
		if strings.HasSuffix(key, ".pooling_type") {
			f.pooling = raw
		}
	}
}

// array passes over one. An array in an array would have the library call itself
// as deep as the file is long.
func (s *scanner) array(key string) {
	kind, n := s.number(4), s.number(8)
	switch {
	case s.err != nil:
	case kind == typeArray || kind >= uint64(len(sizes)):
		s.fail("%.60q is an array of type %d", key, kind)
	case !strings.HasPrefix(key, "tokenizer.") && n > maxCount*4:
		s.fail("%.60q has %d items", key, n)
	case kind == typeString:
		for ; n > 0 && s.err == nil; n-- {
			size := s.number(8)
			s.skip(size)
		}
	case n > maxHeader:
		s.fail("%.60q has %d items", key, n)
	default:
		s.skip(n * uint64(sizes[kind]))
	}
}

func (s *scanner) tensor() {
	s.text(maxKey)
	dimensions := s.number(4)
	if dimensions > 4 {
		s.fail("a tensor has %d dimensions", dimensions)
	}
	s.skip((dimensions&7)*8 + 4 + 8)
}

// magnitude is the value as a number, whatever its type.
func magnitude(kind, raw uint64) float64 {
	switch kind {
	case 1:
		return float64(int8(raw))
	case 3:
		return float64(int16(raw))
	case 5:
		return float64(int32(raw))
	case 6:
		return float64(math.Float32frombits(uint32(raw)))
	case 11:
		return float64(int64(raw))
	case 12:
		return math.Float64frombits(raw)
	}
	return float64(raw)
}
