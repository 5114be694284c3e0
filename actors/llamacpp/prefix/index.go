package prefix

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
)

// keptChanges bounds how far back a reader can be told of changes alone.
const keptChanges = 4096

// An Index is the set of names that an engine holds. One goroutine changes it, any may read.
type Index struct {
	epoch string
	mu    struct {
		sync.Mutex
		seq   uint64 // of the last change
		held  map[string]entry
		names []string // changed by the last len(names) changes, in order
	}
}

// An entry is a name that one or more sequences hold.
type entry struct{ holders, tokens int }

// Changes is what a reader is told. It knows the whole set when it has applied them in order.
type Changes struct {
	// Epoch changes with the engine's process, and numbers of another epoch mean nothing.
	Epoch string `json:"epoch"`
	// Seq is the number to ask with next time.
	Seq uint64 `json:"seq"`
	// Reset: what the reader knew is void, Added is everything.
	Reset      bool     `json:"reset"`
	TextBlock  int      `json:"text_block"`
	TokenBlock int      `json:"token_block"`
	Added      []Mark   `json:"added"`
	Removed    []string `json:"removed"`
}

// NewIndex returns an empty Index of an epoch of its own.
func NewIndex() *Index {
	x := &Index{epoch: rand.Text()[:12]}
	x.mu.held = map[string]entry{}
	return x
}

// Add says that one more sequence holds these.
func (x *Index) Add(marks ...Mark) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range marks {
		e := x.mu.held[m.Name]
		changed := e.tokens != m.Tokens
		x.mu.held[m.Name] = entry{e.holders + 1, m.Tokens}
		if changed {
			x.changedLocked(m.Name)
		}
	}
}

// Remove says that one sequence fewer holds these. What nobody holds is ignored.
func (x *Index) Remove(marks ...Mark) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range marks {
		e, ok := x.mu.held[m.Name]
		switch {
		case !ok:
		case e.holders > 1:
			x.mu.held[m.Name] = entry{e.holders - 1, e.tokens}
		default:
			delete(x.mu.held, m.Name)
			x.changedLocked(m.Name)
		}
	}
}

func (x *Index) changedLocked(name string) {
	x.mu.seq++
	x.mu.names = append(x.mu.names, name)
	if len(x.mu.names) > 2*keptChanges {
		x.mu.names = append([]string(nil), x.mu.names[len(x.mu.names)-keptChanges:]...)
	}
}

// Since tells what has changed after a reader's epoch and number, or everything where that is not known.
// Both lists are sorted by name, and a name is in one of them at most. Removed may have names that came
// and went in between.
func (x *Index) Since(epoch string, seq uint64) Changes {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := Changes{Epoch: x.epoch, Seq: x.mu.seq, TextBlock: TextBlock, TokenBlock: TokenBlock, Added: []Mark{}, Removed: []string{}}
	oldest := x.mu.seq - uint64(len(x.mu.names))
	if epoch != x.epoch || seq < oldest || seq > x.mu.seq {
		c.Reset = true
		for name, e := range x.mu.held {
			c.Added = append(c.Added, Mark{name, e.tokens})
		}
		sortMarks(c.Added)
		return c
	}
	changed := slices.Clone(x.mu.names[seq-oldest:])
	slices.Sort(changed)
	for _, name := range slices.Compact(changed) {
		if e, ok := x.mu.held[name]; ok {
			c.Added = append(c.Added, Mark{name, e.tokens})
		} else {
			c.Removed = append(c.Removed, name)
		}
	}
	return c
}

func sortMarks(marks []Mark) {
	slices.SortFunc(marks, func(a, b Mark) int { return strings.Compare(a.Name, b.Name) })
}

// Len is how many names are held.
func (x *Index) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.mu.held)
}
