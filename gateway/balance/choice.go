package balance

import (
	"math"
	"slices"
	"time"
)

// Speeds to reckon with until an instance's own are measured, tokens/s.
const (
	unknownPrefill = 1000
	unknownDecode  = 50
	decodeTokens   = 250 // of an ordinary answer
)

// What the choice goes by beside speeds.
const (
	decodeShare   = 0.1 // of the time that an answer takes, that counts beside the time to its first token
	step          = 1.0 / 64
	slowStart     = 10 * time.Second // for which a new engine gets less than its share
	slowSeconds   = 0.5              // that each request on one costs, at first
	exploreOne    = 128              // one request in so many goes where nothing was to do
	exploreAfter  = 10 * time.Second // for so long
	openBacklog   = 0.1              // seconds up to which an instance is thought to have room: its gate's half, for what is known is not of now
	maxOptimistic = 3                // times refused, after which a request waits to be granted a place
)

// sample is how many of the instances are looked at where there are more, and sampleStep
// how far apart: a prime, so that those of one node do not come together.
const (
	sample     = 64
	sampleStep = 101
)

// A choice is the best of the candidates seen so far.
type choice struct {
	in      *Instance
	place   int
	steps   float64 // of its score: what differs by less is equal
	crowded float64
	score   float64
	ties    uint64
	odd     *Instance // of the same place, that has had nothing to do of late
	odds    uint64
}

// made is the instance that is chosen in the end.
func (c *choice) made(random func() uint64) *Instance {
	if c.odd != nil && random()%exploreOne == 0 {
		return c.odd
	}
	return c.in
}

// less tells whether c is better.
func (c *choice) less(o *choice) bool {
	switch {
	case c.steps != o.steps:
		return c.steps < o.steps
	case c.crowded != o.crowded:
		return c.crowded < o.crowded
	}
	return c.score < o.score
}

func (c *choice) weigh(in *Instance, q *Query, now time.Time, random func() uint64) {
	place := in.place(q)
	if c.in != nil && c.place < place {
		return
	}
	if c.in == nil || place < c.place {
		*c = choice{place: place}
	}
	if now.Sub(in.busy) > exploreAfter {
		if c.odds++; random()%c.odds == 0 {
			c.odd = in
		}
	}
	score := in.score(q, now)
	next := choice{in: in, place: place, steps: math.Floor(score / step), crowded: in.crowd(q),
		score: score, ties: 1, odd: c.odd, odds: c.odds}
	switch {
	case c.in == nil || next.less(c):
		*c = next
	case !c.less(&next):
		if c.ties++; random()%c.ties == 0 {
			c.in = in
		}
	}
}

// backlog is the seconds until what the instance has to read, and what this gateway has
// sent it since it told, will have been read.
func (in *Instance) backlog(now time.Time) float64 { return max(in.read.Sub(now).Seconds(), 0) }

// score is the seconds that a request is expected to take there until its first token,
// with a share of those that its answer takes.
func (in *Instance) score(q *Query, now time.Time) float64 {
	decode := in.DecodeTPS
	if decode <= 0 {
		decode = unknownDecode
	}
	s := in.backlog(now) + in.uncached(q)/in.prefill()
	s += decodeShare * decodeTokens / decode
	if age := now.Sub(in.started); age < slowStart {
		s += slowSeconds * float64(in.load()) * (1 - age.Seconds()/slowStart.Seconds())
	}
	if q.Adapter != 0 && !slices.Contains(in.adapters, q.Adapter) {
		s += adapterSeconds
	}
	k := min(in.KVUse, 0.99)
	return s + k/(1-k)
}
