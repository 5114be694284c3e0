package blobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// maxChunk is the largest chunk that a record may ask to be held in memory.
const maxChunk = 64 << 20

// check tells whether the record describes chunks that make up the file.
func check(m *wire.Model) error {
	size, chunk := m.GetSize(), uint64(m.GetChunkSize())
	switch {
	case len(m.GetDigest()) != sha256.Size:
		return fmt.Errorf("the record of model %s has a digest of %d bytes, want %d", m.GetName(), len(m.GetDigest()), sha256.Size)
	case size == 0 || size > 1<<62:
		return fmt.Errorf("the record of model %s has a size of %d bytes", m.GetName(), size)
	case chunk == 0 || chunk > maxChunk:
		return fmt.Errorf("the record of model %s has chunks of %d bytes, want 1 to %d", m.GetName(), chunk, maxChunk)
	case uint64(len(m.GetChunks())) != (size+chunk-1)/chunk:
		return fmt.Errorf("the record of model %s has %d chunks, want %d", m.GetName(), len(m.GetChunks()), (size+chunk-1)/chunk)
	}
	for i, c := range m.GetChunks() {
		if len(c) != sha256.Size {
			return fmt.Errorf("the record of model %s has a digest of %d bytes for chunk %d", m.GetName(), len(c), i)
		}
	}
	return checkParts(m)
}

// span is where chunk i, which the record has, begins, and its length.
func span(m *wire.Model, i int) (offset int64, length int) {
	offset = int64(i) * int64(m.GetChunkSize())
	return offset, int(min(int64(m.GetChunkSize()), int64(m.GetSize())-offset))
}

// matches tells whether b is chunk i, which the record has.
func matches(m *wire.Model, i int, b []byte) bool {
	sum := sha256.Sum256(b)
	return bytes.Equal(sum[:], m.GetChunks()[i])
}

// ReadChunk returns chunk i of a model that is here whole, verified. If it is
// damaged, the model is one that lacks it from then on, and the error's code is
// spec.CodeModelDamaged.
func (s *Store) ReadChunk(m *wire.Model, i int) ([]byte, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(m.GetChunks()) {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", m.GetName(), len(m.GetChunks())-1, i)
	}
	_, length := span(m, i)
	b := make([]byte, length)
	return b, s.readInto(b, m, i, true)
}

// LendChunk calls use with chunk i of a model that is here whole, which is good until
// use returns. It verifies it unless the whole was verified before and has not
// changed since, or again is set: whoever receives a chunk verifies it anyway.
func (s *Store) LendChunk(m *wire.Model, i int, again bool, use func(b []byte)) error {
	return s.lend(m, i, again, func(b []byte) error { use(b); return nil })
}

func (s *Store) lend(m *wire.Model, i int, again bool, use func(b []byte) error) error {
	if err := check(m); err != nil {
		return err
	}
	if i < 0 || i >= len(m.GetChunks()) {
		return spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", m.GetName(), len(m.GetChunks())-1, i)
	}
	_, length := span(m, i)
	b := s.borrow(length)
	defer s.giveBack(b)
	verify := again
	if !again {
		now, err := s.content(m).stamp()
		verify = err != nil || !s.known(m.GetDigest(), now)
	}
	if err := s.readInto(b, m, i, verify); err != nil {
		return err
	}
	return use(b)
}

func (s *Store) readInto(b []byte, m *wire.Model, i int, verify bool) error {
	root, ok := s.at(m.GetDigest())
	if !ok {
		return &spec.Error{Code: spec.CodeNotFound, Message: fmt.Sprintf("The file of model %s is not on this node.", m.GetName()), Err: fs.ErrNotExist}
	}
	c := content{root, layout(m)}
	before, err := os.Stat(root)
	if err != nil {
		return err
	}
	offset, _ := span(m, i)
	err = c.read(b, offset)
	switch {
	case err == nil && (!verify || matches(m, i, b)):
		return nil
	case err != nil && err != io.EOF && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read chunk %d of model %s: %w", i, m.GetName(), err) // the disk's trouble, not the content's
	}
	return s.damage(before, m, i)
}

// borrow gives a piece of memory that giveBack has had, or a new one.
func (s *Store) borrow(length int) []byte {
	if b, ok := s.spare.Get().(*[]byte); ok && cap(*b) >= length {
		return (*b)[:length]
	}
	return make([]byte, length)
}

func (s *Store) giveBack(b []byte) { s.spare.Put(&b) }

// damage takes the chunk from the model, and says so.
func (s *Store) damage(had fs.FileInfo, m *wire.Model, i int) error {
	err := s.demote(m, []int{i}, had)
	said := "It is fetched again from another copy."
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrBusy):
		said, err = "The damaged copy is being mended already.", nil
	case err != nil:
		said = "The damaged copy could not be made one to be mended."
	}
	return &spec.Error{Code: spec.CodeModelDamaged, Err: err,
		Message: fmt.Sprintf("Chunk %d of model %s (%s) does not match its digest. %s", i, m.GetName(), hex.EncodeToString(m.GetDigest()[:6]), said)}
}

// fate says what became of a damaged file.
func fate(moved string, err error) string {
	switch {
	case err != nil:
		return "The damaged copy could not be set aside."
	case moved == "":
		return "The damaged copy has been set aside already."
	}
	return "The damaged copy was set aside as " + moved + "."
}
