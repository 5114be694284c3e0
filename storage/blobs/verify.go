package blobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A stamp tells whether a file may have changed since it was verified: as a whole, or
// only each of its chunks, by a record that may have others than its digest's.
type stamp struct {
	size     int64
	modified time.Time
	whole    bool
}

// Verified returns the whole model of that digest as Path does, once its content has
// been held against it: at the first call since Open, and when it has changed since.
// It reads the file then, which an engine is about to do anyway. m is the model's
// record, where the state has it: a model of several files is not known without. A
// damaged one lacks its damaged chunks from then on, or is set aside where no record names
// them, and the error's code is spec.CodeModelDamaged; the error wraps fs.ErrNotExist if there is none.
func (s *Store) Verified(ctx context.Context, digest []byte, m *wire.Model) (string, error) {
	root, ok := s.at(digest)
	if !ok {
		return "", &fs.PathError{Op: "open", Path: root, Err: fs.ErrNotExist}
	}
	c := content{root, []extent{{digest: digest}}}
	if filepath.Ext(root) != extension {
		if !bytes.Equal(m.GetDigest(), digest) || check(m) != nil {
			return "", spec.Errorf(spec.CodeModelNotFound, "The state has no record of the model %s, which has several files.", hex.EncodeToString(digest[:min(6, len(digest))]))
		}
		c.at = layout(m)
	}
	had, err := os.Stat(root)
	if err != nil {
		return "", err
	}
	now, err := c.stamp()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err == nil && s.sound(digest, now) {
		s.use(digest)
		return entry(root), nil
	}
	bad, err := c.damaged(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("verify model %s: %w", root, err)
	case bad != "":
		return "", s.spoilt(ctx, digest, m, had, bad)
	}
	s.vouch(digest, now)
	s.use(digest)
	return entry(root), nil
}

// spoilt takes from a model what is damaged of it, or the whole model where that is not
// known, and says so.
func (s *Store) spoilt(ctx context.Context, digest []byte, m *wire.Model, had fs.FileInfo, bad string) error {
	mended, err := s.mendable(ctx, digest, m, had)
	if mended {
		return &spec.Error{Code: spec.CodeModelDamaged, Message: fmt.Sprintf("The file %s of model %s does not match its digest. What is damaged is fetched again from another copy.",
			bad, hex.EncodeToString(digest[:min(6, len(digest))]))}
	}
	why := fmt.Sprintf("The file %s of model %s does not match its digest.", bad, hex.EncodeToString(digest[:min(6, len(digest))]))
	if said := (*spec.Error)(nil); errors.As(err, &said) && said.Code == spec.CodeModelDamaged {
		why = said.Message // what other nodes have is no better
	}
	moved, err := s.setAside(had, digest)
	return &spec.Error{Code: spec.CodeModelDamaged, Err: err, Message: why + " " + fate(moved, err)}
}

// mendable makes a damaged model one that lacks its damaged chunks, and tells whether it
// could, or Scrub's error.
func (s *Store) mendable(ctx context.Context, digest []byte, m *wire.Model, had fs.FileInfo) (bool, error) {
	if !bytes.Equal(m.GetDigest(), digest) {
		return false, nil
	}
	bad, err := s.Scrub(ctx, m, func(ctx context.Context, _ int) error { return ctx.Err() })
	if err != nil || len(bad) == 0 {
		return false, err
	}
	chunks := make([]int, 0, len(bad))
	for _, f := range bad {
		chunks = append(chunks, f.Chunk)
	}
	return s.demote(m, chunks, had) == nil, nil
}

// damaged names the first file that is not what its digest says; empty: none.
func (c content) damaged(ctx context.Context) (string, error) {
	for _, e := range c.at {
		name := c.file(e)
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return filepath.Base(name), nil
		}
		if err != nil {
			return "", err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, patient{ctx, f})
		f.Close()
		if err != nil {
			return "", err
		}
		if !bytes.Equal(sum.Sum(nil), e.digest) {
			return filepath.Base(name), nil
		}
	}
	return "", nil
}

// known tells whether the model's chunks are those that were found right.
func (s *Store) known(digest []byte, now stamp) bool {
	_, ok := s.was(digest, now)
	return ok
}

// sound tells whether the model is what was found to be what its digest says.
func (s *Store) sound(digest []byte, now stamp) bool {
	was, ok := s.was(digest, now)
	return ok && was.whole
}

func (s *Store) was(digest []byte, now stamp) (stamp, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.mu.verified[string(digest)]
	return was, ok && was.size == now.size && was.modified.Equal(now.modified)
}

// vouch notes that the whole was held against its digest.
func (s *Store) vouch(digest []byte, now stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now.whole = true
	s.mu.verified[string(digest)] = now
}

// patient reads until its context ends.
type patient struct {
	ctx context.Context
	r   io.Reader
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}
