package blobs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Fault is a chunk that is not what its digest says, and the first file that it is in.
type Fault struct {
	Chunk int
	File  string
}

// Scrub reads a whole model and holds each chunk against its digest, and the files that
// they make up against theirs. pace is called before each chunk with its length, and
// ends the scrub with its error. A model that goes meanwhile is spec.CodeNotFound.
func (s *Store) Scrub(ctx context.Context, m *wire.Model, pace func(ctx context.Context, n int) error) ([]Fault, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	if !s.Has(m.GetDigest()) {
		return nil, &spec.Error{Code: spec.CodeNotFound, Message: "The file of model " + m.GetName() + " is not on this node.", Err: fs.ErrNotExist}
	}
	had, err := os.Stat(s.root(m))
	if err != nil {
		return nil, err
	}
	c := s.content(m)
	before, unknown := c.stamp()
	bad, sums, buf := []Fault(nil), newSums(c.at), s.borrow(int(m.GetChunkSize()))
	defer s.giveBack(buf)
	for i := range m.GetChunks() {
		offset, length := span(m, i)
		if err := pace(ctx, length); err != nil {
			return bad, err
		}
		err := c.read(buf[:length], offset)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) {
			return bad, err
		}
		if err != nil || !matches(m, i, buf[:length]) {
			bad = append(bad, Fault{i, filepath.Base(c.file(within(c.at, offset, length)[0]))})
		}
		if err := s.still(m.GetDigest(), had); err != nil { // what was removed meanwhile is not damaged
			return nil, gone(m, err)
		}
		sums.write(buf[:length])
	}
	switch {
	case len(bad) > 0:
	case sums.bad != nil:
		return nil, spec.Errorf(spec.CodeModelDamaged,
			"The chunks of model %s are those of its record, but together they do not have its digest: import it again.", m.GetName())
	case unknown == nil:
		s.vouch(m.GetDigest(), before)
	}
	return bad, nil
}

func gone(m *wire.Model, err error) error {
	return &spec.Error{Code: spec.CodeNotFound, Message: "The file of model " + m.GetName() + " is not on this node any more.", Err: err}
}
