package blobs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/whole"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Kind is what the store has of a model.
type Kind string

// The kinds.
const (
	Whole   Kind = "whole"
	Partial Kind = "partial" // on its way from other nodes, or begun and left
	Damaged Kind = "damaged" // set aside
)

// A Held is one model that the store has something of.
type Held struct {
	Digest []byte
	Kind   Kind
	Bytes  int64     // on the disk
	Used   time.Time // by an engine, or when it came; of what is not whole, when it was last written
}

// List tells what the store has, in no order.
func (s *Store) List() ([]Held, error) {
	var all []Held
	for _, where := range []struct {
		dir  string
		kind Kind
	}{{s.dir, Whole}, {s.partial(), Partial}, {s.damaged(), Damaged}} {
		entries, err := os.ReadDir(where.dir)
		if err != nil {
			return nil, fmt.Errorf("list the model store: %w", err)
		}
		for _, e := range entries {
			digest, ok := digestOf(e.Name())
			if !ok {
				continue
			}
			name := filepath.Join(where.dir, e.Name())
			info, err := e.Info()
			if err != nil {
				continue // it has gone meanwhile
			}
			h := Held{Digest: digest, Kind: where.kind, Bytes: allocated(name), Used: info.ModTime()}
			if came := s.cameAt(digest); came.After(h.Used) && where.kind == Whole {
				h.Used = came
			}
			if note, err := os.Stat(filepath.Join(s.used(), hex.EncodeToString(digest))); err == nil && where.kind == Whole && note.ModTime().After(h.Used) {
				h.Used = note.ModTime()
			}
			if list, err := os.Stat(strings.TrimSuffix(name, ".data") + ".have"); err == nil && where.kind == Partial {
				h.Used = list.ModTime()
			}
			all = append(all, h)
		}
	}
	return all, nil
}

// cameAt is when the model came last since Open, or came again; zero: it did not.
func (s *Store) cameAt(digest []byte) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.came[string(digest)]
}

// digestOf reads the digest in the name of a file of the store.
func digestOf(name string) ([]byte, bool) {
	for _, extension := range []string{extension, ".data", pulled} {
		name = strings.TrimSuffix(name, extension)
	}
	raw, err := hex.DecodeString(name)
	return raw, err == nil && len(raw) == sha256.Size
}

// Digests lists the models that are here whole.
func (s *Store) Digests() [][]byte {
	all, err := s.List()
	if err != nil {
		return nil
	}
	var out [][]byte
	for _, h := range all {
		if h.Kind == Whole {
			out = append(out, h.Digest)
		}
	}
	return out
}

// Remove drops what the store has of a model, of that kind. Whoever has a file of it
// open keeps that file's content. What is being written is ErrBusy, and so is a whole
// model that came again after seen, which is when it was decided that it may go.
func (s *Store) Remove(digest []byte, kind Kind, seen time.Time) error {
	key := hex.EncodeToString(digest)
	switch kind {
	case Whole:
		return s.removeWhole(digest, seen)
	case Partial:
		if !s.claim(digest) {
			return fmt.Errorf("remove what came of model %s: %w", key[:12], ErrBusy)
		}
		defer s.release(digest)
		return errors.Join(missingIsFine(os.Remove(filepath.Join(s.partial(), key+".have"))), missingIsFine(os.Remove(filepath.Join(s.partial(), key+pulled))),
			os.RemoveAll(filepath.Join(s.partial(), key+".data")))
	}
	return errors.Join(os.RemoveAll(filepath.Join(s.damaged(), key)), os.RemoveAll(filepath.Join(s.damaged(), key+extension)))
}

// removeWhole takes the model's name from it at once; what is then nobody's goes without
// anybody waiting for it.
func (s *Store) removeWhole(digest []byte, seen time.Time) error {
	gone, err := os.MkdirTemp(s.incoming(), "removed-") // which Open clears, after a crash
	if err != nil {
		return s.diskError(err)
	}
	if err := s.takeAway(digest, seen, gone); err != nil {
		return errors.Join(err, os.Remove(gone))
	}
	return os.RemoveAll(gone)
}

func (s *Store) takeAway(digest []byte, seen time.Time, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	root, ok := s.at(digest)
	if !ok {
		return nil
	}
	if came, ok := s.mu.came[string(digest)]; ok && came.After(seen) {
		return fmt.Errorf("remove model %s: %w: it came again", hex.EncodeToString(digest[:6]), ErrBusy)
	}
	delete(s.mu.verified, string(digest))
	delete(s.mu.came, string(digest))
	_ = os.Remove(filepath.Join(s.used(), hex.EncodeToString(digest)))
	return os.Rename(root, filepath.Join(to, filepath.Base(root)))
}

func missingIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Demote makes a whole model, some chunks of which are damaged, one that is on its
// way: a Writer asks for those alone. Whoever has it open sees it mended.
func (s *Store) Demote(m *wire.Model, bad []int) error { return s.demote(m, bad, nil) }

// demote does so if the model is still the one that was had, where that is given.
func (s *Store) demote(m *wire.Model, bad []int, had fs.FileInfo) error {
	if err := check(m); err != nil {
		return err
	}
	if !s.claim(m.GetDigest()) {
		return fmt.Errorf("mend model %s: %w", m.GetName(), ErrBusy)
	}
	defer s.release(m.GetDigest())
	if err := s.still(m.GetDigest(), had); err != nil {
		return err
	}
	w := &Writer{s: s, m: m, have: make([]bool, len(m.GetChunks()))}
	for i := range w.have {
		w.have[i] = true
	}
	for _, i := range bad {
		w.have[i] = false
	}
	if err := errors.Join(missingIsFine(os.Remove(w.file(".have"))), os.RemoveAll(w.file(".data"))); err != nil {
		return err
	}
	var err error
	if w.list, err = os.OpenFile(w.file(".have"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return s.diskError(err)
	}
	defer w.list.Close()
	// The list is to be there when the model is: without it nothing of that counts.
	if err := errors.Join(w.relist(), w.list.Sync(), whole.SyncDir(s.partial())); err != nil {
		return s.diskError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	root, ok := s.at(m.GetDigest())
	if !ok {
		return fs.ErrNotExist
	}
	delete(s.mu.verified, string(m.GetDigest()))
	return errors.Join(os.Rename(root, w.file(".data")), whole.SyncDir(s.partial()), whole.SyncDir(s.dir))
}

// still is fs.ErrNotExist where the whole model is not the one that was had, nil: any.
// Nobody but who may write it takes a model's place or name, and it is claimed.
func (s *Store) still(digest []byte, had fs.FileInfo) error {
	root, ok := s.at(digest)
	if !ok {
		return fs.ErrNotExist
	}
	if has, err := os.Stat(root); err != nil || had != nil && !os.SameFile(had, has) {
		return errors.Join(fs.ErrNotExist, err)
	}
	return nil
}
