package prefix

import (
	"math/bits"
	"time"
)

// What the two that a hash prefers are expected to have: of earlier turns, or, for the first turn of
// a conversation, which will come again, of its opening. The last only tips a balance.
const (
	firstHas  = 0.9
	secondHas = 0.4
	willHave  = 0.1
)

// An Expectation is what of one prompt is expected to be held by whom. It is good under the lock of its
// Index; what changes there meanwhile it takes in. Its zero value expects nothing.
//
// Where engines cannot tell, it guesses that two of them hold the beginning: those that a rendezvous
// of the opening's hash prefers, the faster ones more often. Who makes it shows it all candidates (Meet).
type Expectation struct {
	x   *Index
	p   *Prompt
	gen uint64
	at  time.Time

	trust         float64 // in guesses, from 0 to 1
	first, second *Holder // of those that cannot tell
	a, b          float64 // their draws

	likely [mostLikely + 2]*Holder
	n      int // of likely, as announced
}

// mostLikely bounds how many of those that hold most are remembered.
const mostLikely = 4

// Expect makes e what is expected of p, which may be nil.
func (x *Index) Expect(e *Expectation, p *Prompt, trust float64, now time.Time) {
	*e = Expectation{x: x, p: p, at: now, trust: trust}
	if p == nil {
		return
	}
	x.gen++
	e.gen = x.gen
	for i := p.n - 1; i >= 0; i-- { // the longest first
		for _, h := range x.held[p.names[i]] {
			if h.by.gen != x.gen && now.Sub(h.heard) <= Lifetime {
				h.by.gen, h.by.most, h.by.told = x.gen, i, h.tokens
				if e.n < mostLikely {
					e.likely[e.n] = h.by
					e.n++
				}
			}
		}
	}
}

// Guesses tells whether candidates that cannot tell what they hold are to be met.
func (e *Expectation) Guesses() bool { return e.p != nil && e.p.opening != 0 && e.trust > 0 }

// Meet brings a candidate with a number of its own that stays, such as Number of its name, and the
// tokens/s that it reads. Those that tell what they hold are not guessed about.
func (e *Expectation) Meet(h *Holder, number uint64, speed float64) {
	if h.tells {
		return
	}
	switch draw := max(speed, 1) / rarity(Draw(e.p.opening, number)); {
	case e.first == nil || draw > e.a:
		e.second, e.b = e.first, e.a
		e.first, e.a = h, draw
	case e.second == nil || draw > e.b:
		e.second, e.b = h, draw
	}
}

// Likely are some of those that are expected to hold most, for who looks at a sample of all alone. They are
// good until e is made anew.
func (e *Expectation) Likely() []*Holder {
	n := e.n
	for _, h := range [...]*Holder{e.first, e.second} {
		if h != nil {
			e.likely[n] = h
			n++
		}
	}
	return e.likely[:n]
}

// Cached is how many of the prompt's tokens h is expected to hold, in the measure of the Prompt's own
// estimates.
func (e *Expectation) Cached(h *Holder) float64 {
	if e.p == nil {
		return 0
	}
	if !h.tells {
		earlier := float64(e.p.earlier)
		if e.p.earlier == 0 {
			earlier = willHave * float64(e.p.openings)
		}
		return e.share(h) * earlier
	}
	if i, _ := e.longest(h); i >= 0 {
		return float64(e.p.tokens[i])
	}
	return 0
}

// Told is how many tokens an engine that holds what h is expected to hold will have read already: as it
// was announced, or guessed.
func (e *Expectation) Told(h *Holder) float64 {
	if e.p == nil {
		return 0
	}
	if !h.tells {
		return e.share(h) * float64(e.p.earlier)
	}
	_, tokens := e.longest(h)
	return float64(tokens)
}

func (e *Expectation) share(h *Holder) float64 {
	switch h {
	case e.first:
		return e.trust * firstHas
	case e.second:
		return e.trust * secondHas
	}
	return 0
}

// longest is which of the prompt's beginnings h holds, the longest, and its tokens; -1: none.
func (e *Expectation) longest(h *Holder) (int, int32) {
	if e.x.gen == e.gen { // as it was noted with the holders, which is quick
		if h.gen == e.gen {
			return h.most, h.told
		}
		return -1, 0
	}
	for i := e.p.n - 1; i >= 0; i-- {
		if f, ok := h.names[e.p.names[i]]; ok && e.at.Sub(f.heard) <= Lifetime {
			return i, f.tokens
		}
	}
	return -1, 0
}

// rarity is the negative logarithm of r, taken for a part of 1, to the base of 2: to a hundredth, which
// is enough to share by and costs a tenth of the exact one.
func rarity(r uint64) float64 {
	zeros := bits.LeadingZeros64(r | 1)
	m := float64(r<<zeros>>11)/(1<<52) - 1 // 1+m is r without its zeros
	return float64(zeros+1) - m*(4-m)/3 + 1e-6
}

// mix is the finaliser of splitmix64: every bit of the sum hangs on every bit of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Draw is what one candidate, by its Number, draws in the rendezvous for one thing: the most wins.
func Draw(thing, number uint64) uint64 { return mix(thing ^ number) }

// Number is a candidate's for Meet, of its name.
func Number(name string) uint64 {
	n := uint64(14695981039346656037)
	for i := range len(name) {
		n = (n ^ uint64(name[i])) * 1099511628211
	}
	return mix(n)
}
