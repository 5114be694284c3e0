package balance

import (
	"cmp"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// mostReasons bounds how many candidates a Reasons tells of.
const mostReasons = 5

// Reasons tell what a request's instance was chosen for. A Query that has one has it filled with each
// choice; that allocates.
type Reasons struct {
	Candidates []Candidate // the best first
	Others     int         // instances of the deployment beside these
}

// A Candidate is an instance as a choice saw it.
type Candidate struct {
	spec.Target
	Region  string
	Chosen  bool
	Seconds float64 // that the request was expected to take there, until its first token and a little beyond
	Cached  int     // of its prompt tokens, that were expected to be there
	Load    int     // requests on it
	Slots   int
	Refused string // why it was no choice; empty: it was one
}

// reasonsLocked fills q's Reasons, if it has one, for the choice of chosen.
func (t *Table) reasonsLocked(q *Query, chosen *Instance, now time.Time) {
	if q.Why == nil { // nearly always
		return
	}
	p := t.poolOf(chosen)
	if p == nil {
		return
	}
	all := make([]Candidate, 0, len(p.list))
	for _, in := range p.list {
		all = append(all, Candidate{Target: in.Target, Region: in.node.Region, Chosen: in == chosen, Seconds: in.score(q, now), Cached: int(in.cached(q)),
			Load: in.load(), Slots: in.Slots, Refused: t.refusedFor(in, q, chosen, now)})
	}
	slices.SortStableFunc(all, func(a, b Candidate) int {
		switch {
		case a.Chosen != b.Chosen:
			return yes(a.Chosen)
		case (a.Refused == "") != (b.Refused == ""):
			return yes(a.Refused == "")
		}
		return cmp.Compare(a.Seconds, b.Seconds)
	})
	n := min(len(all), mostReasons)
	*q.Why = Reasons{Candidates: all[:n], Others: len(all) - n}
}

func yes(first bool) int {
	if first {
		return -1
	}
	return 1
}

// refusedFor is why the instance was no choice beside the chosen one.
func (t *Table) refusedFor(in *Instance, q *Query, chosen *Instance, now time.Time) string {
	switch {
	case in == chosen:
		return ""
	case excluded(in, q):
		return "tried"
	case !in.ready(q, now):
		return "not ready"
	case in.Version != chosen.Version:
		return "another version"
	case now.Sub(in.heard) > t.stale():
		return "not heard of"
	case !in.room(q, now, t.stale()):
		return "full"
	case in.brings(q, now):
		return "loads the adapter"
	case in.place(q) > chosen.place(q):
		return "farther away"
	}
	return ""
}
