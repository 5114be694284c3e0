package prefix

import "math"

// What the two that a hash prefers are expected to have: of earlier turns, or, for the first turn of
// a conversation, which will come again, of its opening. The last only tips a balance.
const (
	firstHas  = 0.9
	secondHas = 0.4
	willHave  = 0.1
)

// A Prior guesses which two instances hold a prompt's beginning where engines cannot tell: those
// that a rendezvous of the opening's hash prefers, the faster ones more often. Begin, then Meet each
// candidate, then Settle.
type Prior struct {
	opening       uint64
	first, second *Holder
	a, b          float64
}

// Begin begins with p's opening; false: there is nothing to guess by.
func (r *Prior) Begin(p *Prompt) bool {
	*r = Prior{}
	if p == nil || p.opening == 0 {
		return false
	}
	r.opening = p.opening
	return true
}

// Meet brings a candidate with a number of its own, such as a hash of its name, that stays, and the
// tokens/s that it reads. Those that tell what they hold are not guessed about.
func (r *Prior) Meet(h *Holder, number uint64, speed float64) {
	if h.tells {
		return
	}
	u := (float64(mix(r.opening^number)>>11) + 0.5) / (1 << 53)
	switch draw := -max(speed, 1) / math.Log(u); {
	case r.first == nil || draw > r.a:
		r.second, r.b = r.first, r.a
		r.first, r.a = h, draw
	case r.second == nil || draw > r.b:
		r.second, r.b = h, draw
	}
}

// Settle notes with the two what they are expected to have of p, for the Expect of that number. It
// is scaled by trust, from 0 to 1.
func (r *Prior) Settle(p *Prompt, gen uint64, trust float64) {
	note := func(h *Holder, share float64) {
		if h == nil {
			return
		}
		tokens := share * float64(p.earlier)
		if p.earlier == 0 {
			tokens = willHave * share * float64(p.openings)
		}
		h.gen, h.estimate, h.told = gen, trust*tokens, 0
		if p.earlier > 0 {
			h.told = h.estimate
		}
	}
	note(r.first, firstHas)
	note(r.second, secondHas)
}

// mix is the finaliser of splitmix64: every bit of the sum hangs on every bit of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Number is a candidate's for Meet, of its name.
func Number(name string) uint64 {
	n := uint64(14695981039346656037)
	for i := range len(name) {
		n = (n ^ uint64(name[i])) * 1099511628211
	}
	return mix(n)
}
