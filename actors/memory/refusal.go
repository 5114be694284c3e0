package memory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Hold says why an instance does not go.
type Hold string

// What keeps an instance. The texts are shown to people.
const (
	Evictable Hold = ""
	Pinned    Hold = "it is pinned"
	Starting  Hold = "it does not serve yet"
	Leased    Hold = "it has requests"
	Young     Hold = "it has served for less than its minimum residency"
)

// keeps says what keeps c at now.
func (p Policy) keeps(c Candidate, now time.Time) Hold {
	switch {
	case c.Pinned:
		return Pinned
	case c.Leases > 0:
		return Leased
	case c.Ready.IsZero():
		return Starting
	case now.Sub(c.Ready) < p.MinResidency:
		return Young
	}
	return Evictable
}

// A Refusal says why no room can be made now.
type Refusal struct {
	Need     uint64 // bytes
	Possible uint64 // bytes that may be evicted now; less than Need
	Kept     []Kept // in the order of the candidates
	// Later tells that it would fit if all requests and loads ended, which is
	// then worth waiting for; else only pins or what is no candidate stand in the way.
	Later bool
	// At is when it will fit by the passing of minimum residencies alone; zero: it
	// takes the end of requests or loads too, or never.
	At time.Time
}

// Kept is a candidate that does not go.
type Kept struct {
	ID    spec.InstanceID
	Bytes uint64
	Why   Hold
}

// Error says so in one sentence for people.
func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d MiB have to be freed, %d MiB can be", ceilMiB(r.Need), r.Possible>>20)
	for i, k := range r.Kept {
		if i == 0 {
			b.WriteString("; kept are ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s with %d MiB (%s)", k.ID, k.Bytes>>20, k.Why)
	}
	return b.String()
}

func ceilMiB(n uint64) uint64 { return n>>20 + (n&(1<<20-1)+1<<20-1)>>20 }

func (p Policy) refusal(candidates []Candidate, need, possible uint64, now time.Time) *Refusal {
	r := &Refusal{Need: need, Possible: possible}
	var young []Candidate
	ever := possible
	for _, c := range candidates {
		why := p.keeps(c, now)
		if why == Evictable || c.Bytes == 0 {
			continue
		}
		r.Kept = append(r.Kept, Kept{c.ID, c.Bytes, why})
		if why != Pinned {
			ever = add(ever, c.Bytes)
		}
		if why == Young {
			young = append(young, c)
		}
	}
	r.Later = ever >= need
	slices.SortFunc(young, func(a, b Candidate) int { return a.Ready.Compare(b.Ready) })
	for _, c := range young {
		if possible = add(possible, c.Bytes); possible >= need {
			r.At = c.Ready.Add(p.MinResidency)
			break
		}
	}
	return r
}
