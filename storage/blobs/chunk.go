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
	return nil
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
// damaged, the file is set aside, so that it is fetched or imported anew, and
// the error's code is spec.CodeModelDamaged.
func (s *Store) ReadChunk(m *wire.Model, i int) ([]byte, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(m.GetChunks()) {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "model %s has chunks 0 to %d, not %d", m.GetName(), len(m.GetChunks())-1, i)
	}
	f, err := os.Open(s.whole(m.GetDigest()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &spec.Error{Code: spec.CodeNotFound, Message: fmt.Sprintf("The file of model %s is not on this node.", m.GetName()), Err: err}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	offset, length := span(m, i)
	b := make([]byte, length)
	_, err = f.ReadAt(b, offset)
	if err == nil && matches(m, i, b) {
		return b, nil
	}
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read chunk %d of model %s: %w", i, m.GetName(), err) // the disk's trouble, not the content's
	}
	return nil, s.damage(f, m, i)
}

// damage sets the file aside and says so.
func (s *Store) damage(f *os.File, m *wire.Model, i int) error {
	moved, err := s.setAside(f, m.GetDigest())
	return &spec.Error{Code: spec.CodeModelDamaged, Err: err,
		Message: fmt.Sprintf("Chunk %d of model %s (%s) does not match its digest. %s", i, m.GetName(), hex.EncodeToString(m.GetDigest()[:6]), fate(moved, err))}
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
