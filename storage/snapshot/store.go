package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// Extensions of the files. What is written under temporary names ends in unfinished.
const (
	stateFile  = ".state"
	metaFile   = ".meta"
	unfinished = ".tmp"
	bad        = ".damaged" // behind metaFile
)

// A Store is a directory of snapshots. One process at a time may have it open.
type Store struct {
	dir    string
	retain int
	log    *slog.Logger

	mu struct {
		sync.Mutex
		known []*meta // whole ones, newest first
		last  int64   // the latest stamp given
	}
}

var _ raft.SnapshotStore = (*Store)(nil)

// Open makes the directory if it is missing, reads every snapshot to the end to
// find the damaged ones, and removes what unfinished ones have left. retain
// snapshots are kept; log may be nil.
func Open(dir string, retain int, log *slog.Logger) (*Store, error) {
	if retain < 1 {
		return nil, fmt.Errorf("open the snapshots: at least one must be retained, not %d", retain)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: dir, retain: retain, log: log}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.scanLocked(); err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	return s, nil
}

func (s *Store) path(id, extension string) string { return filepath.Join(s.dir, id+extension) }

// scanLocked fills known and tidies up.
func (s *Store) scanLocked() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	owned := map[string]bool{} // states that belong to a meta file of any kind
	for _, e := range entries {
		id, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), bad), metaFile)
		if !ok {
			continue
		}
		owned[id+stateFile] = true
		if strings.HasSuffix(e.Name(), bad) {
			continue
		}
		m, err := s.read(id)
		if err == nil {
			err = s.verify(m)
		}
		switch {
		case err == nil:
			s.mu.known = append(s.mu.known, m)
		case errors.Is(err, errFormat):
			s.log.Warn("a snapshot is not used", "snapshot", id, "error", err)
		case errors.Is(err, ErrDamaged):
			s.condemnLocked(id, err)
		default:
			return err // the disk's trouble: it may be whole
		}
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, unfinished) || strings.HasSuffix(name, stateFile) && !owned[name] {
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
			s.log.Info("the rest of an unfinished snapshot was removed", "file", name)
		}
	}
	slices.SortFunc(s.mu.known, newer)
	return nil
}

func (s *Store) read(id string) (*meta, error) {
	raw, err := os.ReadFile(s.path(id, metaFile))
	if err != nil {
		return nil, err
	}
	return decodeMeta(id, raw)
}

// verify reads a snapshot's state to its end.
func (s *Store) verify(m *meta) error {
	f, err := os.Open(s.path(m.ID, stateFile))
	if err != nil {
		return missing(err)
	}
	defer f.Close()
	return verifyFile(f, m)
}

// missing makes a state file's absence the damage that it is.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func verifyFile(f *os.File, m *meta) error {
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if n != m.Size || hex.EncodeToString(sum.Sum(nil)) != m.SHA256 {
		return fmt.Errorf("%w: its state of %d bytes does not match the digest", ErrDamaged, n)
	}
	return nil
}

// condemnLocked takes a snapshot off the list for good.
func (s *Store) condemnLocked(id string, why error) {
	s.log.Error("a snapshot is damaged and not used", "snapshot", id, "error", why)
	s.mu.known = slices.DeleteFunc(s.mu.known, func(m *meta) bool { return m.ID == id })
	if err := os.Rename(s.path(id, metaFile), s.path(id, metaFile+bad)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a damaged snapshot could not be marked", "snapshot", id, "error", err)
	}
}

// List returns the whole snapshots, newest first.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*raft.SnapshotMeta
	for _, m := range s.mu.known {
		out = append(out, m.raft())
	}
	return out, nil
}

// Open returns a snapshot's meta and content. It reads the content to the end
// first: what the reader gives is whole.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	at := slices.IndexFunc(s.mu.known, func(m *meta) bool { return m.ID == id })
	if at < 0 {
		s.mu.Unlock()
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, fs.ErrNotExist)
	}
	m := s.mu.known[at]
	f, err := os.Open(s.path(id, stateFile)) // from here on a removal does no harm
	s.mu.Unlock()
	if err == nil {
		if err = verifyFile(f, m); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err == nil {
			return m.raft(), f, nil
		}
		f.Close()
	}
	if err = missing(err); errors.Is(err, ErrDamaged) {
		s.mu.Lock()
		s.condemnLocked(id, err)
		s.mu.Unlock()
	}
	return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
}

// addLocked lists a new snapshot and removes those that are beyond the retained,
// but never the new one: Raft opens what it was just sent.
func (s *Store) addLocked(m *meta) {
	s.mu.known = append(s.mu.known, m)
	slices.SortFunc(s.mu.known, newer)
	var kept []*meta
	for i, k := range s.mu.known {
		if i < s.retain || k == m {
			kept = append(kept, k)
		} else {
			s.removeLocked(k.ID, metaFile)
		}
	}
	s.mu.known = kept
	if len(s.mu.known) < s.retain {
		return
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.log.Warn("damaged snapshots were not looked for", "error", err)
		return
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), metaFile+bad); ok {
			s.removeLocked(id, metaFile+bad)
		}
	}
}

// removeLocked removes the meta file first: without it the state is a rest.
func (s *Store) removeLocked(id, extension string) {
	for _, e := range []string{extension, stateFile} {
		if err := os.Remove(s.path(id, e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("an old snapshot could not be removed", "snapshot", id, "error", err)
			return
		}
	}
}
