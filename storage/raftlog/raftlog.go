package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
)

// A Store is the log and the stable store of one Raft server. Its methods may
// be called from any goroutine.
type Store struct {
	db     *pebble.DB
	held   held       // nothing, but in a deliberately broken build
	writes sync.Mutex // one change of the log at a time; taken before bounds
	bounds struct {
		sync.Mutex
		known       bool // the others have been read from disk
		empty       bool
		first, last uint64
	}
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.StableStore       = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
)

// New returns the Store in db. There may be one at a time.
func New(db *storage.DB) *Store { return &Store{db: db.Pebble()} }

func key(index uint64) []byte {
	return storage.RaftLog.Key(binary.BigEndian.AppendUint64(nil, index))
}

// IsMonotonic tells Raft that it may leave gaps, as it does after a snapshot.
func (s *Store) IsMonotonic() bool { return false }

// FirstIndex is the index of the first entry, 0 for none.
func (s *Store) FirstIndex() (uint64, error) {
	first, _, err := s.known()
	return first, err
}

// LastIndex is the index of the last entry, 0 for none.
func (s *Store) LastIndex() (uint64, error) {
	_, last, err := s.known()
	return last, err
}

func (s *Store) known() (first, last uint64, err error) {
	s.bounds.Lock()
	defer s.bounds.Unlock()
	if !s.bounds.known {
		if err := s.findLocked(); err != nil {
			return 0, 0, err
		}
	}
	return s.bounds.first, s.bounds.last, nil
}

// findLocked reads the bounds from disk. It needs bounds.
func (s *Store) findLocked() (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: storage.RaftLog.Key(), UpperBound: storage.RaftLog.End()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var first, last uint64
	found := it.First()
	if found {
		first = binary.BigEndian.Uint64(it.Key()[1:])
		it.Last()
		last = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if err := it.Error(); err != nil {
		return err
	}
	b := &s.bounds
	b.known, b.empty, b.first, b.last = true, !found, first, last
	return nil
}

// GetLog fills l with the entry at index, or returns raft.ErrLogNotFound.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	raw, ok := s.held.get(index)
	if !ok {
		value, closer, err := s.db.Get(key(index))
		if errors.Is(err, pebble.ErrNotFound) {
			return raft.ErrLogNotFound
		}
		if err != nil {
			return err
		}
		defer closer.Close()
		raw = value
	}
	if err := decode(raw, l); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	l.Index = index
	return nil
}

// StoreLog stores one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries, all or none, and returns once they are on disk.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writes.Lock()
	defer s.writes.Unlock()
	if _, _, err := s.known(); err != nil {
		return err
	}
	if !s.held.keep(s, logs) {
		if err := s.write(logs); err != nil {
			return err
		}
	}
	b := &s.bounds
	b.Lock()
	defer b.Unlock()
	for _, l := range logs {
		if b.empty {
			b.empty, b.first, b.last = false, l.Index, l.Index
		}
		b.first, b.last = min(b.first, l.Index), max(b.last, l.Index)
	}
	return nil
}

func (s *Store) write(logs []*raft.Log) error {
	batch := s.db.NewBatch()
	for _, l := range logs {
		if err := batch.Set(key(l.Index), encode(l), nil); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	return errors.Join(batch.Commit(pebble.Sync), batch.Close())
}

// DeleteRange deletes the entries from low to high, both included.
func (s *Store) DeleteRange(low, high uint64) error {
	if low > high {
		return nil
	}
	s.writes.Lock()
	defer s.writes.Unlock()
	if err := s.held.flush(s); err != nil {
		return err
	}
	end := storage.RaftLog.End()
	if high+1 != 0 {
		end = key(high + 1)
	}
	s.bounds.Lock()
	defer s.bounds.Unlock()
	if err := s.db.DeleteRange(key(low), end, pebble.Sync); err != nil {
		return err
	}
	return s.findLocked()
}
