package blobs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Fault is a chunk that is not what its digest says, and the first file that it is in.
type Fault struct {
	Chunk int
	File  string
}

// Scrub reads a whole model and holds each chunk against its digest. pace is called
// before each with its length, and ends the scrub with its error.
func (s *Store) Scrub(ctx context.Context, m *wire.Model, pace func(ctx context.Context, n int) error) ([]Fault, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	if !s.Has(m.GetDigest()) {
		return nil, &spec.Error{Code: spec.CodeNotFound, Message: "The file of model " + m.GetName() + " is not on this node.", Err: fs.ErrNotExist}
	}
	c := s.content(m)
	before, unknown := c.stamp()
	var bad []Fault
	buf := s.borrow(int(m.GetChunkSize()))
	defer s.giveBack(buf)
	for i := range m.GetChunks() {
		offset, length := span(m, i)
		if err := pace(ctx, length); err != nil {
			return bad, err
		}
		err := c.read(buf[:length], offset)
		if err != nil && err != io.EOF && !errors.Is(err, fs.ErrNotExist) {
			return bad, err
		}
		if err != nil || !matches(m, i, buf[:length]) {
			bad = append(bad, Fault{i, filepath.Base(c.file(within(c.at, offset, length)[0]))})
		}
	}
	if len(bad) == 0 && unknown == nil {
		s.vouch(m.GetDigest(), before)
	}
	return bad, nil
}
