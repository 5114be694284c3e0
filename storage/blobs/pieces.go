package blobs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// pieceSize is what is read, hashed and written at a time: it stays in a processor's cache.
const pieceSize = 256 << 10

// Chunks tells which of m's chunks are here, whole or while it comes; nil: none, nor is
// it coming.
func (s *Store) Chunks(m *wire.Model) []bool {
	have := make([]bool, len(m.GetChunks()))
	if s.Has(m.GetDigest()) {
		for i := range have {
			have[i] = true
		}
		return have
	}
	w := s.writer(m)
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	copy(have, w.have)
	return have
}

// writer is who writes the model now, if its record has the same chunks.
func (s *Store) writer(m *wire.Model) *Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.mu.writers[string(m.GetDigest())]
	if w == nil || w.m.GetChunkSize() != m.GetChunkSize() || w.m.GetSize() != m.GetSize() || len(w.have) != len(m.GetChunks()) {
		return nil
	}
	return w
}

// ReadPieces calls use with the pieces of chunk i, in order, each of which is good until
// use returns. It ends with use's error. The chunk may be of a model that is on its way.
// It is verified as LendChunk verifies it.
func (s *Store) ReadPieces(m *wire.Model, i int, again bool, use func(piece []byte) error) error {
	if err := check(m); err != nil {
		return err
	}
	if i < 0 || i >= len(m.GetChunks()) {
		return spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", m.GetName(), len(m.GetChunks())-1, i)
	}
	c, ok, err := s.trusted(m, i, again)
	if err != nil {
		return err
	}
	if ok {
		begun := false
		err := s.walk(c, m, i, c.root != s.root(m), func(piece []byte) error { begun = true; return use(piece) })
		if begun || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return s.lend(m, i, again, func(b []byte) (err error) {
		for ; len(b) > 0 && err == nil; b = b[min(len(b), pieceSize):] {
			err = use(b[:min(len(b), pieceSize)])
		}
		return err
	})
}

// trusted is where chunk i can be read from without being verified: it has been, and
// the file has not changed since. The error is the disk's trouble.
func (s *Store) trusted(m *wire.Model, i int, again bool) (_ content, ok bool, _ error) {
	c := s.content(m)
	if !again && s.Has(m.GetDigest()) {
		now, err := c.stamp()
		return c, err == nil && s.known(m.GetDigest(), now), nil
	}
	w := s.writer(m)
	if w == nil || !w.done(i) {
		return c, false, nil
	}
	if again {
		ok, err := w.right(i)
		return w.c, ok, err
	}
	return w.c, true, nil
}

func (s *Store) walk(c content, m *wire.Model, i int, direct bool, use func(piece []byte) error) error {
	offset, length := span(m, i)
	from := c.from(offset)
	from.direct = direct
	defer from.close()
	piece := s.borrowPiece()
	defer s.pieces.Put(piece)
	for length > 0 {
		b := (*piece)[:from.next(min(length, pieceSize))]
		if err := from.read(b); err != nil {
			return fmt.Errorf("read chunk %d of model %s: %w", i, m.GetName(), err)
		}
		if err := use(b); err != nil {
			return err
		}
		length -= len(b)
	}
	return nil
}

// right reads chunk i, which was written, once more. What is wrong is missing from now
// on; what cannot be read is not: that may be for want of files or memory.
func (w *Writer) right(i int) (bool, error) {
	sum := sha256.New()
	err := w.s.walk(w.c, w.m, i, true, func(b []byte) error { _, err := sum.Write(b); return err })
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF): // it was committed meanwhile, or there is less of it
	case err != nil:
		return false, err
	case bytes.Equal(sum.Sum(nil), w.m.GetChunks()[i]):
		return true, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && w.have[i] {
		_, length := span(w.m, i)
		w.have[i], w.left = false, w.left+int64(length) // the list still has it; the next Writer reads what is listed
	}
	return false, nil
}

func (s *Store) borrowPiece() *[]byte {
	if b, ok := s.pieces.Get().(*[]byte); ok {
		return b
	}
	b := aligned(pieceSize)
	return &b
}
