package blobs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
	"github.com/lotabots/lotabots/cluster/wire"
)

// extension of whole files: engines go by it.
const extension = ".gguf"

// A Store is a directory of models. One process at a time may have it open;
// its methods may be called from everywhere.
type Store struct {
	dir    string
	shared bool // by Share, before anything else

	free    func() int64 // Free, but in tests
	reserve func(f *os.File, size int64) (done bool, err error)

	spare  sync.Pool // *[]byte, of a chunk's size
	pieces sync.Pool // *[]byte of pieceSize

	mu struct {
		sync.Mutex
		writing  map[string]bool // digests that have a Writer or an Intake
		writers  map[string]*Writer
		verified map[string]stamp     // by digest, of files that were read and found right
		came     map[string]time.Time // when a model came last, or the same once more
	}
}

// Open makes the directory if it is missing, and removes what imports that were
// cut off by a crash have left. What fetches have left is kept: they go on.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, free: func() int64 { return freeAt(dir) }, reserve: reserve}
	s.mu.writing, s.mu.writers, s.mu.verified = map[string]bool{}, map[string]*Writer{}, map[string]stamp{}
	s.mu.came = map[string]time.Time{}
	for _, d := range []string{s.dir, s.incoming(), s.partial(), s.damaged(), s.used()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open the model store: %w", err)
		}
	}
	left, err := os.ReadDir(s.incoming())
	if err != nil {
		return nil, fmt.Errorf("open the model store: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(s.incoming(), e.Name())); err != nil {
			return nil, fmt.Errorf("open the model store: %w", err)
		}
	}
	return s, nil
}

func (s *Store) incoming() string { return filepath.Join(s.dir, "incoming") }
func (s *Store) partial() string  { return filepath.Join(s.dir, "partial") }
func (s *Store) damaged() string  { return filepath.Join(s.dir, "damaged") }

// whole is the name that a model has which is one file; folder, one of several.
func (s *Store) whole(digest []byte) string {
	return s.folder(digest) + extension
}

func (s *Store) folder(digest []byte) string {
	return filepath.Join(s.dir, hex.EncodeToString(digest))
}

// root is where the model that a record describes is once it is whole.
func (s *Store) root(m *wire.Model) string {
	if len(m.GetParts()) > 0 {
		return s.folder(m.GetDigest())
	}
	return s.whole(m.GetDigest())
}

func (s *Store) content(m *wire.Model) content { return content{s.root(m), layout(m)} }

// at finds the whole model of that digest.
func (s *Store) at(digest []byte) (root string, ok bool) {
	if len(digest) == 0 {
		return "", false
	}
	if info, err := os.Stat(s.whole(digest)); err == nil && info.Mode().IsRegular() {
		return s.whole(digest), true
	}
	info, err := os.Stat(s.folder(digest))
	return s.folder(digest), err == nil && info.IsDir()
}

// Path returns the whole model of that digest, if it is here: its file; of several
// files, the first GGUF that is no projector's, by which engines find the others, or else
// their directory.
// It stays what it is; only if it turns out to be damaged is it moved away. See Verified.
func (s *Store) Path(digest []byte) (string, bool) {
	root, ok := s.at(digest)
	if !ok {
		return s.whole(digest), false
	}
	return entry(root), true
}

// entry is what engines are given of a whole model.
func entry(root string) string {
	if filepath.Ext(root) == extension {
		return root
	}
	shards, err := filepath.Glob(filepath.Join(root, "*"+extension)) // sorted
	if err != nil || len(shards) == 0 {
		return root
	}
	for _, name := range shards {
		if !projects(name) {
			return name
		}
	}
	return shards[0]
}

// Has tells whether the whole model is here.
func (s *Store) Has(digest []byte) bool {
	_, ok := s.at(digest)
	return ok
}

// adopt gives a complete, verified model its name for good. If the same bytes
// are here already, it drops what it was given instead. held tells that not only its
// chunks were held against their digests.
func (s *Store) adopt(c content, m *wire.Model, held bool) (path string, err error) {
	if err := c.sync(); err != nil {
		return "", s.diskError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.came[string(m.GetDigest())] = time.Now()
	if path, ok := s.at(m.GetDigest()); ok {
		return entry(path), os.RemoveAll(c.root)
	}
	path = s.root(m)
	if s.shared {
		if err := c.open(); err != nil {
			return "", err
		}
	}
	if err := os.Rename(c.root, path); err != nil {
		return "", err
	}
	if now, err := (content{path, c.at}).stamp(); err == nil {
		now.whole = held
		s.mu.verified[string(m.GetDigest())] = now
	}
	return entry(path), whole.SyncDir(s.dir)
}

// setAside moves a damaged model out of the way, unless another has taken its
// place since it was had. One damaged copy of each digest is kept.
func (s *Store) setAside(had fs.FileInfo, digest []byte) (moved string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ok := s.at(digest)
	if !ok {
		return "", nil
	}
	has, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(had, has) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	moved = filepath.Join(s.damaged(), filepath.Base(path))
	if err := os.RemoveAll(moved); err != nil {
		return "", err
	}
	if err := os.Rename(path, moved); err != nil {
		return "", err
	}
	now := time.Now() // from which its grace counts
	if err := os.Chtimes(moved, now, now); err != nil {
		return "", err
	}
	return moved, whole.SyncDir(s.dir)
}

// diskError says so where the disk is full, which is the failure to expect here.
func (s *Store) diskError(err error) error {
	if said := (*spec.Error)(nil); full(err) && !errors.As(err, &said) {
		return &spec.Error{Code: spec.CodeInternal, Err: err, Message: "The disk of the model store is full.",
			Hint: "Free some space under " + s.dir + ", or move the node's data to a larger disk."}
	}
	return err
}
