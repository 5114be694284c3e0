package blobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A stamp tells whether a file may have changed since it was verified.
type stamp struct {
	size     int64
	modified time.Time
}

func stampOf(i fs.FileInfo) stamp { return stamp{i.Size(), i.ModTime()} }

// Verified returns the whole file of that digest, once its content has been held
// against it: at the first call since Open, and when the file has changed since.
// It reads the file then, which an engine is about to do anyway. A damaged file is
// set aside, and the error's code is spec.CodeModelDamaged; the error wraps
// fs.ErrNotExist if there is none.
func (s *Store) Verified(ctx context.Context, digest []byte) (string, error) {
	path := s.whole(digest)
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if s.known(digest, stampOf(info)) {
		return path, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, patient{ctx, f}); err != nil {
		return "", fmt.Errorf("verify model %s: %w", path, err)
	}
	if !bytes.Equal(sum.Sum(nil), digest) {
		moved, err := s.setAside(f, digest)
		return "", &spec.Error{Code: spec.CodeModelDamaged, Err: err,
			Message: fmt.Sprintf("The file of model %s does not match its digest. %s", hex.EncodeToString(digest[:min(6, len(digest))]), fate(moved, err))}
	}
	s.vouch(digest, stampOf(info))
	return path, nil
}

func (s *Store) known(digest []byte, now stamp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.mu.verified[string(digest)]
	return ok && was.size == now.size && was.modified.Equal(now.modified)
}

func (s *Store) vouch(digest []byte, now stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
