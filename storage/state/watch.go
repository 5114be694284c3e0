package state

import (
	"slices"
	"sync"
)

// A Change tells what one applied entry changed: nothing, for a command that was
// refused. Reset: a snapshot was restored, so read everything anew.
type Change struct {
	Index   uint64
	Reset   bool
	Records []Ref
}

type watches struct {
	mu   sync.Mutex
	list []*func(Change)
}

// Subscribe has fn called after every entry and restored snapshot, in order and
// one at a time. What changed can be read by then; Index still has its former
// value, so that whoever sees the new one knows that every subscriber was told.
// The next entry waits for fn: it must not block, nor apply anything. A call that
// is under way when cancel is called may still go on.
func (s *Store) Subscribe(fn func(Change)) (cancel func()) {
	w := &s.watches
	me := &fn
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(slices.Clone(w.list), me)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.list = slices.DeleteFunc(slices.Clone(w.list), func(f *func(Change)) bool { return f == me })
	}
}

func (w *watches) tell(c Change) {
	w.mu.Lock()
	list := w.list
	w.mu.Unlock()
	for _, fn := range list {
		(*fn)(c)
	}
}
