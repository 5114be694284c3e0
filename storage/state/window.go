package state

import (
	"sort"
	"sync"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A window has the last entries that were applied, in memory, and the applied
// index as others see it: whoever has seen the index finds its entry.
type window struct {
	index atomic.Uint64 // changed under mu
	needs atomic.Uint64 // feature level; rises before an entry that raises it is added

	mu      sync.Mutex
	floor   uint64 // every entry above it is in entries
	entries []*wire.Entry
	bytes   int
	next    chan struct{} // closed by the next change; nil: nobody waits
}

// reset empties the window: entries above index will follow.
func (w *window) reset(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.floor, w.entries, w.bytes = index, nil, 0
	w.index.Store(index)
	w.wakeLocked()
}

// add appends an entry and drops the oldest ones beyond the limits. The newest
// stays, however large.
func (w *window) add(e *wire.Entry, l limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, e)
	w.index.Store(e.GetIndex())
	w.bytes += len(e.GetCommand())
	for len(w.entries) > 1 && (len(w.entries) > l.entries || w.bytes > l.bytes) {
		old := w.entries[0]
		w.floor = old.GetIndex()
		w.bytes -= len(old.GetCommand())
		w.entries[0] = nil
		w.entries = w.entries[1:]
	}
	w.wakeLocked()
}

func (w *window) wakeLocked() {
	if w.next != nil {
		close(w.next)
		w.next = nil
	}
}

func (w *window) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		w.next = make(chan struct{})
	}
	return w.next
}

// Entries returns up to most applied entries with an index above from, in order;
// all for most below 1. ok is false where some of them are no longer kept: take
// a snapshot. The window begins at the index that the node had when it started,
// or when it last restored a snapshot. Nobody may change the entries.
func (s *Store) Entries(from uint64, most int) (entries []*wire.Entry, ok bool) {
	w := &s.window
	w.mu.Lock()
	defer w.mu.Unlock()
	if from < w.floor {
		return nil, false
	}
	first := sort.Search(len(w.entries), func(i int) bool { return w.entries[i].GetIndex() > from })
	rest := w.entries[first:]
	if most > 0 && len(rest) > most {
		rest = rest[:most]
	}
	return append([]*wire.Entry(nil), rest...), true
}
