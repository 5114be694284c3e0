package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
)

// A Store is the log and the stable store of one Raft server. Its methods may
// be called from any goroutine.
type Store struct {
	disk   *storage.DB
	db     *pebble.DB    // the same
	held   held          // nothing, but in a deliberately broken build
	writes chan struct{} // holds one while the log is being changed; taken before bounds
	cut    bool          // the tail was deleted and nothing stored since. Needs writes.
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
func New(db *storage.DB) *Store {
	return &Store{disk: db, db: db.Pebble(), writes: make(chan struct{}, 1)}
}

const keyBytes = 1 + 8

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
	defer func() {
		if e := it.Close(); err == nil && e != nil { // it gives the error of the reads once more
			err = e
		}
	}()
	var first, last uint64
	found := it.First()
	if found {
		first = binary.BigEndian.Uint64(it.Key()[1:])
		it.Last()
		last = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("looking for the log's ends: %w", storage.Where(err))
	}
	b := &s.bounds
	b.known, b.empty, b.first, b.last = true, !found, first, last
	return nil
}

// GetLog fills l with the entry at index, or returns raft.ErrLogNotFound.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	_, last, err := s.known()
	if err != nil {
		return err
	}
	if index > last { // a write that was given up may be there
		return raft.ErrLogNotFound
	}
	read := func(raw []byte) error { return decode(raw, l) }
	if raw, ok := s.held.get(index); ok {
		err = read(raw)
	} else {
		// Raft looks at its oldest entry now and then, and does not wait for that to end.
		err = s.disk.Read(key(index), read)
	}
	if errors.Is(err, pebble.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	l.Index = index
	return nil
}

// StoreLog stores one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries, all or none, and returns once they are on disk. Where
// that takes too long it wraps storage.ErrStalled, and a leader steps down by it.
// The entries are then not in the log, and are deleted should they get to the
// disk, before anything else is stored; after a crash they may be there.
//
// A follower that has deleted its tail waits instead: Raft has forgotten the
// deletion after an error, and would look for the deleted entries ever after.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	_, last, err := s.known()
	if err != nil {
		return err
	}
	if !s.held.keep(s, logs) {
		if err := s.write(logs, s.cut || logs[0].Index <= last); err != nil {
			return err
		}
	}
	s.cut = false
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

// turn is how often a writer that waits for another looks at the disk's health.
const turn = 50 * time.Millisecond

// begin waits for its turn to change the log, but not on a disk that does not answer.
func (s *Store) begin() error {
	select {
	case s.writes <- struct{}{}:
		return nil
	default:
	}
	for {
		if err := s.disk.Health(); err != nil {
			return fmt.Errorf("%w: %w", err, storage.ErrRefused)
		}
		select {
		case s.writes <- struct{}{}:
			return nil
		case <-time.After(turn):
		}
	}
}

func (s *Store) end() { <-s.writes }

// write puts the entries on disk, in time or however long it takes.
func (s *Store) write(logs []*raft.Log, patiently bool) error {
	batch := s.db.NewBatch()
	for _, l := range logs {
		if err := put(batch, l); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	if patiently {
		return s.disk.CommitPatiently(batch)
	}
	first := logs[0].Index
	return s.disk.Commit(batch, func() error {
		undo := s.db.NewBatch()
		if err := undo.DeleteRange(key(first), storage.RaftLog.End(), nil); err != nil {
			return errors.Join(err, undo.Close())
		}
		return s.disk.CommitLate(undo)
	})
}

// put adds an entry to the batch, written in place.
func put(batch *pebble.Batch, l *raft.Log) error {
	op := batch.SetDeferred(keyBytes, sizeOf(l))
	op.Key[0] = byte(storage.RaftLog)
	binary.BigEndian.PutUint64(op.Key[1:], l.Index)
	encode(op.Value[:0], l)
	return op.Finish()
}

// DeleteRange deletes the entries from low to high, both included. It waits for
// a disk that does not answer: after an error Raft would take the entries to be
// there still, and they may be gone.
func (s *Store) DeleteRange(low, high uint64) error {
	if low > high {
		return nil
	}
	s.writes <- struct{}{}
	defer s.end()
	if err := s.held.flush(s); err != nil {
		return err
	}
	_, last, err := s.known()
	if err != nil {
		return err
	}
	end := storage.RaftLog.End()
	if high+1 != 0 {
		end = key(high + 1)
	}
	batch := s.db.NewBatch()
	if err := batch.DeleteRange(key(low), end, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := s.disk.CommitPatiently(batch); err != nil {
		return err
	}
	s.cut = s.cut || high >= last && low <= last
	s.bounds.Lock()
	defer s.bounds.Unlock()
	return s.findLocked()
}
