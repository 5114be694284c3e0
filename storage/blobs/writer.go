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

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// ErrBusy is wrapped by Writer's error when the model has a Writer already.
var ErrBusy = errors.New("the model is being written already")

// A Writer takes one model's chunks in any order. What it took is there for the
// next Writer of the same model, also after a crash: beside the file, which has
// holes, a list names the chunks that were written, and a new Writer believes it
// only after reading them. One goroutine at a time may use it.
type Writer struct {
	s      *Store
	m      *wire.Model
	f      *os.File // dir/partial/DIGEST.data
	list   *os.File // dir/partial/DIGEST.have: numbers of chunks, 4 bytes each, big-endian
	have   []bool
	closed bool
}

// Writer begins or goes on with writing m's file. It must be closed. A model
// that is here whole needs none, but may have one.
func (s *Store) Writer(m *wire.Model) (*Writer, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	key := string(m.GetDigest())
	s.mu.Lock()
	busy := s.mu.writing[key]
	s.mu.writing[key] = true
	s.mu.Unlock()
	if busy {
		return nil, fmt.Errorf("write model %s: %w", m.GetName(), ErrBusy)
	}
	w := &Writer{s: s, m: m, have: make([]bool, len(m.GetChunks()))}
	if err := w.open(); err != nil {
		w.Close()
		return nil, fmt.Errorf("write model %s: %w", m.GetName(), s.diskError(err))
	}
	return w, nil
}

func (w *Writer) file(extension string) string {
	return filepath.Join(w.s.partial(), hex.EncodeToString(w.m.GetDigest())+extension)
}

// open finds what there is already, and mends the list where it names more.
func (w *Writer) open() error {
	var err error
	if w.f, err = os.OpenFile(w.file(".data"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := w.f.Truncate(int64(w.m.GetSize())); err != nil {
		return err
	}
	if w.list, err = os.OpenFile(w.file(".have"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(w.list, 4*int64(len(w.have)))) // each is listed once
	if err != nil {
		return err
	}
	found, buf := 0, make([]byte, w.m.GetChunkSize())
	for _, i := range listed(raw, len(w.have)) {
		offset, length := span(w.m, i)
		if _, err := w.f.ReadAt(buf[:length], offset); err != nil {
			return err
		}
		if matches(w.m, i, buf[:length]) {
			w.have[i] = true
			found++
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
	case w.closed:
		return os.ErrClosed
	case i < 0 || i >= len(w.have):
		return spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", w.m.GetName(), len(w.have)-1, i)
	case !matches(w.m, i, b):
		return spec.Errorf(spec.CodeModelDamaged, "What came for chunk %d of model %s does not match its digest.", i, w.m.GetName())
	case w.have[i]:
		return nil
	}
	offset, length := span(w.m, i)
	if len(b) != length {
		return fmt.Errorf("chunk %d of model %s has %d bytes by its digest, %d by the record's sizes", i, w.m.GetName(), len(b), length)
	}
	if _, err := w.f.WriteAt(b, offset); err != nil {
		return w.s.diskError(err)
	}
	if err := w.note(i); err != nil {
		return w.s.diskError(err)
	}
	w.have[i] = true
	return nil
}

// Commit makes the file one of the store, once no chunk is missing, and returns
// its path. It reads the file once more: what its name promises is the digest of
// the whole. If the chunks are right and the whole is not, the record is at
// fault, and everything that was written is dropped.
func (w *Writer) Commit() (path string, err error) {
	if w.closed {
		return "", os.ErrClosed
	}
	if missing := len(w.Missing()); missing > 0 {
		return "", fmt.Errorf("commit model %s: %d of %d chunks are missing", w.m.GetName(), missing, len(w.have))
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(w.f, 0, int64(w.m.GetSize()))); err != nil {
		return "", err
	}
	if !bytes.Equal(sum.Sum(nil), w.m.GetDigest()) {
		os.Remove(w.file(".have"))
		os.Remove(w.file(".data"))
		return "", errors.Join(spec.Errorf(spec.CodeModelDamaged,
			"The chunks of model %s are those of its record, but together they do not have its digest: import it again.", w.m.GetName()), w.Close())
	}
	if path, err = w.s.adopt(w.f, w.m.GetDigest()); err != nil {
		return "", fmt.Errorf("commit model %s: %w", w.m.GetName(), err)
	}
	os.Remove(w.file(".have")) // if it stays, the next Writer finds nothing of it to be true
	return path, w.Close()
}

// Close ends the writing, and keeps what is there for the next attempt. It may
// be called after Commit, and more than once.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	var failed []error
	for _, f := range []*os.File{w.f, w.list} {
		if f != nil {
			failed = append(failed, f.Close())
		}
	}
	w.s.mu.Lock()
	delete(w.s.mu.writing, string(w.m.GetDigest()))
	w.s.mu.Unlock()
	return errors.Join(failed...)
}
