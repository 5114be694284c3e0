package relay

import "time"

// A pace is how a client takes a stream. It has WriteStall of patience: what it takes
// while it is waited for gives it back at the least rate, the waiting uses it up. A client
// that keeps up with its engine uses none, however slow the engine is.
type pace struct {
	patience time.Duration
	armed    time.Time     // when the write deadline was last set
	by       time.Duration // the patience of then
}

// due is the patience to set as the write deadline; false: the present one will do.
func (p *pace) due(now time.Time) (time.Duration, bool) {
	if now.Sub(p.armed) < time.Second && p.patience >= p.by {
		return 0, false
	}
	p.armed, p.by = now, p.patience
	return p.patience, true
}

// took tells that n bytes were taken, after the client was waited for so long.
func (p *pace) took(n int, waited, most time.Duration, rate int) {
	if waited < noWait {
		waited = 0
	}
	back := time.Duration(float64(n) / float64(rate) * float64(time.Second))
	p.patience = max(0, min(most, p.patience-waited+back))
}

// maxWrite is the size of what is written at a time: a slow client takes it well within
// its patience.
const maxWrite = 16 << 10

// noWait is how long a write takes at most that found room in the socket.
const noWait = time.Millisecond
