//go:build mutant

package raftlog

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec/mutant"
)

// holdBack is how long an acknowledged entry may be in memory alone. A process
// that is killed keeps what it gave the system, so to lose entries by kill -9
// they must not have been written at all.
const holdBack = 2 * time.Second

// held makes StoreLogs acknowledge entries before they are on disk, to show that
// the checks would notice it. All that is held is written at once.
type held struct {
	mu      sync.Mutex
	entries map[uint64][]byte
}

// keep takes the entries in place of the disk, if the mutant is on.
func (h *held) keep(s *Store, logs []*raft.Log) bool {
	if !mutant.On(mutant.AckBeforeSync) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.entries) == 0 {
		h.entries = map[uint64][]byte{}
		time.AfterFunc(holdBack, func() {
			defer func() { _ = recover() }() // the database was closed meanwhile: they are lost, as they would be by a crash
			_ = h.flush(s)
		})
	}
	for _, l := range logs {
		h.entries[l.Index] = encode(nil, l)
	}
	return true
}

func (h *held) get(index uint64) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	raw, ok := h.entries[index]
	return raw, ok
}

// flush writes what is held.
func (h *held) flush(s *Store) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.entries) == 0 {
		return nil
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	for index, raw := range h.entries {
		if err := batch.Set(key(index), raw, nil); err != nil {
			return err
		}
	}
	clear(h.entries)
	return batch.Commit(pebble.Sync)
}
