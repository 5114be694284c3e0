package blobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// ErrBusy is wrapped by Writer's error when the model has a Writer already.
var ErrBusy = errors.New("the model is being written already")

// A Writer takes one model's chunks in any order. What it took is there for the
// next Writer of the same model, also after a crash: beside the files, which have
// holes, a list names the chunks that were written, and a new Writer believes it
// only after reading them. PutChunk and Missing may be called from everywhere.
type Writer struct {
	s *Store
	m *wire.Model
	c content // dir/partial/DIGEST.data

	mu     sync.Mutex
	list   *os.File // dir/partial/DIGEST.have: numbers of chunks, 4 bytes each, big-endian
	have   []bool
	left   int64       // bytes that are still to be written
	fresh  bool        // nothing was there before
	kept   bool        // the disk has set room aside for all of it
	full   atomic.Bool // the disk is
	closed bool
}

// Writer begins or goes on with writing m's files. It must be closed. A model
// that is here whole needs none, but may have one.
func (s *Store) Writer(m *wire.Model) (*Writer, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	if !s.claim(m.GetDigest()) {
		return nil, fmt.Errorf("write model %s: %w", m.GetName(), ErrBusy)
	}
	w := &Writer{s: s, m: m, have: make([]bool, len(m.GetChunks()))}
	w.c = content{w.file(".data"), layout(m)}
	if err := w.open(); err != nil {
		err = w.failed(err)
		w.Close()
		return nil, fmt.Errorf("write model %s: %w", m.GetName(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.writers[string(m.GetDigest())] = w
	return w, nil
}

// claim takes the right to write a model, which release gives back.
func (s *Store) claim(digest []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.writing[string(digest)] {
		return false
	}
	s.mu.writing[string(digest)] = true
	return true
}

func (s *Store) release(digest []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.writing, string(digest))
	delete(s.mu.writers, string(digest))
}

func (w *Writer) file(extension string) string {
	return filepath.Join(w.s.partial(), hex.EncodeToString(w.m.GetDigest())+extension)
}

// open finds what there is already, and mends the list where it names more.
func (w *Writer) open() error {
	if err := w.room(); err != nil {
		return err
	}
	var err error
	if w.list, err = os.OpenFile(w.file(".have"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(w.list, 4*int64(len(w.have)))) // each is listed once
	if err != nil {
		return err
	}
	found, buf := 0, w.s.borrow(int(w.m.GetChunkSize()))
	defer w.s.giveBack(buf)
	w.left = int64(w.m.GetSize())
	for _, i := range listed(raw, len(w.have)) {
		offset, length := span(w.m, i)
		if err := w.c.read(buf[:length], offset); err != nil {
			return err
		}
		if matches(w.m, i, buf[:length]) {
			w.have[i] = true
			found++
			w.left -= int64(length)
		}
	}
	if 4*found == len(raw) {
		return nil // the file's position is its end
	}
	return w.relist()
}

// relist writes the list anew.
func (w *Writer) relist() error {
	if err := w.list.Truncate(0); err != nil {
		return err
	}
	if _, err := w.list.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for i, have := range w.have {
		if have {
			if err := w.note(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// listed reads the list of a model of n chunks, and leaves out what is none of them.
func listed(raw []byte, n int) []int {
	var out []int
	seen := make([]bool, n)
	for ; len(raw) >= 4; raw = raw[4:] {
		if i := binary.BigEndian.Uint32(raw); uint64(i) < uint64(n) && !seen[i] {
			seen[i] = true
			out = append(out, int(i))
		}
	}
	return out
}

func (w *Writer) note(i int) error {
	_, err := w.list.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
	return err
}

// Missing lists the chunks still to be put, in order.
func (w *Writer) Missing() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.missing()
}

func (w *Writer) missing() []int {
	var out []int
	for i, have := range w.have {
		if !have {
			out = append(out, i)
		}
	}
	return out
}

// PutChunk verifies and keeps chunk i. A wrong one is refused with the code
// spec.CodeModelDamaged; one that is there already is not written again.
func (w *Writer) PutChunk(i int, b []byte) error {
	switch {
	case i < 0 || i >= len(w.have):
		return spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", w.m.GetName(), len(w.have)-1, i)
	case w.ended():
		return os.ErrClosed
	case w.done(i):
		return nil
	case !matches(w.m, i, b):
		return spec.Errorf(spec.CodeModelDamaged, "What came for chunk %d of model %s does not match its digest.", i, w.m.GetName())
	}
	offset, length := span(w.m, i)
	if len(b) != length {
		return fmt.Errorf("chunk %d of model %s has %d bytes by its digest, %d by the record's sizes", i, w.m.GetName(), len(b), length)
	}
	if err := w.c.write(b, offset); err != nil {
		return w.failed(err)
	}
	return w.keep(i)
}

// Receive reads chunk i from r, to its last byte and no further, and does with it as
// PutChunk does, piece by piece: what is wrong has been written, and counts for nothing.
// Where there was something before, engines may have it mapped, if it is a copy that is
// being mended: nothing unverified is written to it.
func (w *Writer) Receive(i int, r io.Reader) error {
	if i < 0 || i >= len(w.have) {
		return spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", w.m.GetName(), len(w.have)-1, i)
	}
	if w.ended() {
		return os.ErrClosed
	}
	offset, length := span(w.m, i)
	if !w.fresh {
		b := w.s.borrow(length)
		defer w.s.giveBack(b)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		return w.PutChunk(i, b)
	}
	to, sum := w.c.from(offset), sha256.New()
	to.direct = true
	if w.done(i) { // what is right is not written over
		to = nil
	}
	defer to.close()
	piece := w.s.borrowPiece()
	defer w.s.pieces.Put(piece)
	for left := length; left > 0; {
		b := (*piece)[:to.next(min(left, pieceSize))]
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		sum.Write(b)
		if err := to.write(b); err != nil {
			return w.failed(err)
		}
		left -= len(b)
	}
	if !bytes.Equal(sum.Sum(nil), w.m.GetChunks()[i]) {
		return spec.Errorf(spec.CodeModelDamaged, "What came for chunk %d of model %s does not match its digest.", i, w.m.GetName())
	}
	if err := to.close(); err != nil {
		return w.failed(err)
	}
	return w.keep(i)
}

// keep notes that chunk i was written.
func (w *Writer) keep(i int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return os.ErrClosed
	case w.have[i]:
		return nil
	}
	if err := w.note(i); err != nil {
		return w.failed(err)
	}
	w.have[i] = true
	_, length := span(w.m, i)
	w.left -= int64(length)
	return nil
}

func (w *Writer) done(i int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.have[i]
}

func (w *Writer) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// Commit makes the model one of the store, once no chunk is missing, and returns its
// path. Each chunk has been held against the record, which is the importer's word that
// they make up what its digest names: Verified and Scrub hold the whole against that.
func (w *Writer) Commit() (path string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return "", os.ErrClosed
	}
	if missing := len(w.missing()); missing > 0 {
		return "", fmt.Errorf("commit model %s: %d of %d chunks are missing", w.m.GetName(), missing, len(w.have))
	}
	if path, err = w.s.adopt(w.c, w.m, false); err != nil {
		return "", fmt.Errorf("commit model %s: %w", w.m.GetName(), err)
	}
	os.Remove(w.file(".have")) // if it stays, the next Writer finds nothing of it to be true
	return path, w.close()
}

// Close ends the writing, and keeps what is there for the next attempt, unless the disk
// was full and all of it is this Writer's: others may need the room. It may be called
// after Commit, and more than once.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.close()
}

func (w *Writer) close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	var err error
	if w.list != nil {
		err = w.list.Close()
	}
	if w.full.Load() && w.fresh {
		os.Remove(w.file(".have"))
		os.RemoveAll(w.file(".data"))
	}
	w.s.release(w.m.GetDigest())
	return err
}
