package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// Level is the newest feature level whose commands this build can apply.
const Level = wire.Level

// A Store is the state of one node. Reads may come from any goroutine at any
// time. Entries and snapshots may come from several goroutines, as they do while a
// node turns from a follower of the feed into a Raft server: they are taken one
// at a time, and what is old is skipped.
type Store struct {
	db      *storage.DB
	limits  limits
	window  window
	watches watches

	// restoring is held while a snapshot is read in, and taken before writing.
	restoring sync.Mutex

	// writing is held from the reading of an entry until everybody has been told.
	writing struct {
		sync.Mutex
		applied  position
		requests int // remembered
		audit    auditEnds
		floors   floors
	}

	// mu is held for reading while a read looks up the generation and opens what
	// it reads from.
	mu struct {
		sync.RWMutex
		generation uint64
	}
}

// floors are where walks for what is too old begin: below them an index has
// nothing. They save going over what was removed there, entry by entry, until the
// database has cleared it away, and change nothing of what is found: they are of one process.
type floors struct {
	answers  uint64                        // in byAge, index of an entry
	sessions int64                         // in bySessionEnd, Unix milliseconds
	usage    [len(spec.UsagePeriods)]int64 // when the first sum of each period begins, Unix milliseconds
}

// limits bound what is kept beside the records. Requests, life, audits and usage are a
// part of what apply computes: all nodes must have the same.
type limits struct {
	requests int           // answers remembered
	audits   int           // entries of the audit log
	usage    int           // sums of usage, of each period
	life     time.Duration // of an answer, by the clocks of the proposers
	entries  int           // in the window
	bytes    int           // of the commands in the window
}

var usual = limits{requests: 10_000, audits: 1_000_000, usage: 250_000, life: 24 * time.Hour, entries: 4096, bytes: 16 << 20}

// Open returns the state in db as of its applied index. What a restore left
// behind that did not come to its end is removed. There may be one Store at a time.
func Open(db *storage.DB) (*Store, error) { return open(db, usual) }

func open(db *storage.DB, l limits) (s *Store, err error) {
	defer recovered(&err)
	s = &Store{db: db, limits: l}
	generation, err := s.findGeneration()
	if err != nil {
		return nil, fmt.Errorf("opening the state: %w", err)
	}
	s.mu.generation = generation
	v := s.view()
	if db.Found() < storage.Format {
		s.reindex(v)
		must(db.RaiseFormat())
	}
	s.writing.applied = v.position()
	s.writing.requests = v.countRequests()
	s.writing.audit = v.auditEnds()
	s.window.needs.Store(s.writing.applied.level)
	s.window.reset(s.writing.applied.index)
	return s, nil
}

// recovered turns the panic of a fault into an error.
func recovered(err *error) {
	switch r := recover().(type) {
	case nil:
	case *fault:
		*err = r
	default:
		panic(r)
	}
}

// findGeneration reads which generation is in force and removes all others.
func (s *Store) findGeneration() (uint64, error) {
	db := s.db.Pebble()
	raw, closer, err := db.Get(pointerKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 1, db.Set(pointerKey, be(1), pebble.Sync)
	}
	if err != nil {
		return 0, err
	}
	raw = bytes.Clone(raw)
	if err := closer.Close(); err != nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, fmt.Errorf("the number of the generation in force has %d bytes", len(raw))
	}
	generation := binary.BigEndian.Uint64(raw)
	first, last := generationPrefix(0), storage.State.Key([]byte{generationMark + 1})
	return generation, errors.Join(
		db.DeleteRange(first, generationPrefix(generation), pebble.NoSync),
		db.DeleteRange(generationPrefix(generation+1), last, pebble.NoSync))
}

// view is of the generation in force. Its holder needs mu or writing, without
// which a restore might remove the generation.
func (s *Store) view() view {
	return view{s.db.Pebble(), generationPrefix(s.mu.generation)}
}

// Index is the index of the last command or change of configuration that was
// applied. Raft's entries of its own (no-ops, barriers) do not come here, so it
// may stay below Raft's commit index although nothing is missing. It rises when
// the records can be read and every subscriber has been told.
func (s *Store) Index() uint64 { return s.window.index.Load() }

// Needs is the feature level of the newest command among those applied: a build
// below it cannot follow this state.
func (s *Store) Needs() uint64 { return s.window.needs.Load() }

// Changed returns a channel that is closed once Index rises. To miss nothing, get
// it before looking at Index or Entries.
func (s *Store) Changed() <-chan struct{} { return s.window.changed() }
