package blobs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/lotabots/lotabots/cluster/spec"
)

// extension of whole files: engines go by it.
const extension = ".gguf"

// A Store is a directory of models. One process at a time may have it open;
// its methods may be called from everywhere.
type Store struct {
	dir    string
	shared bool // by Share, before anything else

	mu struct {
		sync.Mutex
		writing  map[string]bool  // digests that have a Writer
		verified map[string]stamp // digests whose files were read and found right
	}
}

// Open makes the directory if it is missing, and removes what imports that were
// cut off by a crash have left. What fetches have left is kept: they go on.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	s.mu.writing, s.mu.verified = map[string]bool{}, map[string]stamp{}
	for _, d := range []string{s.dir, s.incoming(), s.partial(), s.damaged()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open the model store: %w", err)
		}
	}
	left, err := os.ReadDir(s.incoming())
	if err != nil {
		return nil, fmt.Errorf("open the model store: %w", err)
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(s.incoming(), e.Name())); err != nil {
			return nil, fmt.Errorf("open the model store: %w", err)
		}
	}
	return s, nil
}

func (s *Store) incoming() string { return filepath.Join(s.dir, "incoming") }
func (s *Store) partial() string  { return filepath.Join(s.dir, "partial") }
func (s *Store) damaged() string  { return filepath.Join(s.dir, "damaged") }

func (s *Store) whole(digest []byte) string {
	return filepath.Join(s.dir, hex.EncodeToString(digest)+extension)
}

// Path returns the whole file of that digest, if it is here. It stays what it
// is; only if it turns out to be damaged is it moved away. See Verified.
func (s *Store) Path(digest []byte) (string, bool) {
	if len(digest) == 0 {
		return "", false
	}
	path := s.whole(digest)
	info, err := os.Stat(path)
	return path, err == nil && info.Mode().IsRegular()
}

// Has tells whether the whole file is here.
func (s *Store) Has(digest []byte) bool {
	_, ok := s.Path(digest)
	return ok
}

// adopt gives a complete, verified file its name for good. If the same bytes
// are here already, it drops the file instead.
func (s *Store) adopt(f *os.File, digest []byte) (path string, err error) {
	if err := f.Sync(); err != nil {
		return "", s.diskError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if path, ok := s.Path(digest); ok {
		return path, os.Remove(f.Name())
	}
	path = s.whole(digest)
	if s.shared {
		if err := f.Chmod(sharedMode); err != nil {
			return "", err
		}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", err
	}
	return path, syncDir(s.dir)
}

// setAside moves a damaged file out of the way, unless another has taken its
// place since f was opened. One damaged copy of each digest is kept.
func (s *Store) setAside(f *os.File, digest []byte) (moved string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.whole(digest)
	had, err := f.Stat()
	if err != nil {
		return "", err
	}
	has, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(had, has) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	moved = filepath.Join(s.damaged(), filepath.Base(path))
	if err := os.Rename(path, moved); err != nil {
		return "", err
	}
	return moved, syncDir(s.dir)
}

// diskError says so where the disk is full, which is the failure to expect here.
func (s *Store) diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &spec.Error{Code: spec.CodeInternal, Err: err, Message: "The disk of the model store is full.",
			Hint: "Free some space under " + s.dir + ", or move the node's data to a larger disk."}
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
