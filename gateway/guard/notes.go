package guard

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Note is what has failed, or was denied, in one way since it was last told.
type Note struct {
	Event
	Count uint32
}

// An Event is one kind of failure. Its texts must hold no secret.
type Event struct {
	Actor   string // who, where that is known
	From    string // address
	Action  string
	Target  string
	Tenant  string
	Outcome string
	Message string
}

// Bounds of what is gathered and told.
const (
	notesHeld = 4096 // events that are told apart; others count as one
	notesEach = time.Minute
	notesMost = 32 // per minute, all together
)

// Notes gathers events, so that nobody can make the cluster write a line for each
// attempt. An event is told at most once in a minute, and so are all together but
// notesMost times; what is over counts as one event without details.
type Notes struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		open  map[Event]*tally
		since time.Time // begin of the minute that told counts in
		told  int
	}
}

type tally struct {
	count uint32
	last  time.Time // told; zero: never
}

// NewNotes returns an empty Notes. A nil now is time.Now.
func NewNotes(now func() time.Time) *Notes {
	if now == nil {
		now = time.Now
	}
	n := &Notes{now: now}
	n.mu.open = map[Event]*tally{}
	return n
}

// Add counts one event.
func (n *Notes) Add(e Event) { n.add(e, 1) }

func (n *Notes) add(e Event, count uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.open[e] == nil && len(n.mu.open) >= notesHeld {
		e = Event{Action: e.Action, Outcome: e.Outcome, Message: "more than can be told apart"}
	}
	if n.mu.open[e] == nil {
		n.mu.open[e] = &tally{}
	}
	n.mu.open[e].count += count
}

// Due takes what is to be told now. What could not be told is given to Back.
func (n *Notes) Due() []Note {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.mu.since) >= notesEach {
		n.mu.since, n.mu.told = now, 0
	}
	var due []Note
	for e, t := range n.mu.open {
		switch {
		case now.Sub(t.last) < notesEach:
		case t.count == 0:
			delete(n.mu.open, e)
		default:
			due = append(due, Note{e, t.count})
		}
	}
	slices.SortFunc(due, func(a, b Note) int { // the many first, and always in the same order
		if a.Count != b.Count {
			return int(int64(b.Count) - int64(a.Count))
		}
		return compare(a.Event, b.Event)
	})
	due = due[:min(len(due), max(0, notesMost-n.mu.told))]
	for _, d := range due {
		n.mu.open[d.Event].count, n.mu.open[d.Event].last = 0, now
	}
	n.mu.told += len(due)
	return due
}

func compare(a, b Event) int {
	return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.Target, b.Target), strings.Compare(a.Action, b.Action), strings.Compare(a.Actor, b.Actor),
		strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Outcome, b.Outcome), strings.Compare(a.Message, b.Message))
}

// Back returns what Due gave and nobody could be told.
func (n *Notes) Back(notes []Note) {
	for _, d := range notes {
		n.add(d.Event, d.Count)
		n.mu.Lock()
		if t := n.mu.open[d.Event]; t != nil {
			t.last = time.Time{}
		}
		n.mu.Unlock()
	}
}
