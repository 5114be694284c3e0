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
			if note, err := os.Stat(filepath.Join(s.used(), hex.EncodeToString(digest))); err == nil && where.kind == Whole {
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
// open keeps that file's content. What is being written is ErrBusy.
func (s *Store) Remove(digest []byte, kind Kind) error {
	key := hex.EncodeToString(digest)
	switch kind {
	case Whole:
		s.mu.Lock()
		defer s.mu.Unlock()
		root, ok := s.at(digest)
		if !ok {
			return nil
		}
		delete(s.mu.verified, string(digest))
		_ = os.Remove(filepath.Join(s.used(), key))
		gone := filepath.Join(s.incoming(), "removed-"+filepath.Base(root)) // which Open clears, after a crash
		if err := os.Rename(root, gone); err != nil {
			return err
		}
		return os.RemoveAll(gone)
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

func missingIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Demote makes a whole model, some chunks of which are damaged, one that is on its
// way: a Writer asks for those alone. Whoever has it open sees it mended.
func (s *Store) Demote(m *wire.Model, bad []int) error {
	if err := check(m); err != nil {
		return err
	}
	if !s.claim(m.GetDigest()) {
		return fmt.Errorf("mend model %s: %w", m.GetName(), ErrBusy)
	}
	defer s.release(m.GetDigest())
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
	if err := w.relist(); err != nil {
		return s.diskError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	root, ok := s.at(m.GetDigest())
	if !ok {
		return fs.ErrNotExist
	}
	delete(s.mu.verified, string(m.GetDigest()))
	return errors.Join(os.Rename(root, w.file(".data")), syncDir(s.dir))
}
