package usage

import (
	"context"
	"errors"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/turns"
	"github.com/lotabots/lotabots/cluster/wire"
)

// What Settle answers where the record is not safe.
var (
	// ErrLate: it will be, as soon as the disk takes it.
	ErrLate = errors.New("the usage ledger's disk does not answer in time")
	// ErrLost: it will not.
	ErrLost = errors.New("the usage ledger takes no record")
)

// Settle writes down that a request has ended and returns when that is in the journal, or else on disk, or
// after a short while with an error that wraps ErrLate or ErrLost. It does not keep r.
func (l *Ledger) Settle(r *wire.UsageRecord) error {
	if l.heldBack(r) {
		return nil
	}
	began := time.Now()
	fate := l.settle(r, began)
	switch fate {
	case nil:
		l.metrics.settled.Inc()
		l.metrics.settle.Observe(time.Since(began).Seconds())
	case ErrLate:
		l.metrics.late.Inc()
	}
	return fate
}

func (l *Ledger) settle(r *wire.UsageRecord, began time.Time) error {
	h, fits := l.put(r) // holds mu
	if h == nil {
		l.mu.Unlock()
		l.metrics.lost.Inc()
		return ErrLost
	}
	if l.mu.stands {
		l.mu.Unlock()
		return ErrLate
	}
	end := h.fits
	l.mu.Unlock()
	if fits {
		turns.Yield() // whoever is first writes for all who come meanwhile
	}
	return l.secure(h, end, fits, began)
}

// secure returns when what h has up to end is in the journal, where it fits, or else on disk, or after a short while.
func (l *Ledger) secure(h *half, end int, fits bool, began time.Time) error {
	l.mu.Lock()
	if fits && h.written >= end {
		l.mu.Unlock()
		return nil
	}
	slow := !l.mu.syncing.IsZero() && began.Sub(l.mu.syncing) > slowDisk
	if fits && !slow {
		if c, ok := l.beginLocked(); ok {
			l.mu.Unlock()
			if l.combine(c, h) {
				return nil
			}
			l.mu.Lock()
		}
	}
	if h.over {
		l.mu.Unlock()
		return h.fate
	}
	at := &h.rest
	switch {
	case !fits || l.mu.journal == nil:
	case l.mu.writing == h && end <= h.aloft:
		at = &h.flying
	default:
		at = &h.joined
	}
	g := l.joinLocked(at)
	if l.mu.writing == nil || at == &h.rest || began.Sub(l.mu.since) > slowDisk { // nobody writes it to the journal soon
		if h == l.mu.fill { // else it is on its way
			l.hurryLocked()
		}
		l.passedLocked(fits)
	}
	l.mu.Unlock()
	return g.wait(began, l.cfg.Wait)
}

// passedLocked counts one who waits for the disk.
func (l *Ledger) passedLocked(fits bool) {
	switch {
	case l.size == 0:
	case l.mu.journal == nil:
		l.metrics.out.Inc()
	case !fits:
		l.metrics.full.Inc()
	default:
		l.metrics.slow.Inc()
	}
}

// Note is Settle for what nobody waits for.
func (l *Ledger) Note(r *wire.UsageRecord) {
	h, _ := l.put(r) // holds mu
	if h != nil && l.mu.journal == nil {
		l.hurryLocked()
	}
	l.mu.Unlock()
	if h == nil {
		l.metrics.lost.Inc()
		return
	}
	l.metrics.noted.Inc()
}

// usualFrame is what most frames have room in.
const usualFrame = 512

// put gives the record its number and returns the half that it is in, with mu locked; nil: there is no room. fits
// tells that the journal has room for it.
func (l *Ledger) put(r *wire.UsageRecord) (h *half, fits bool) {
	var room [usualFrame]byte
	frame := encode(room[:frameHeader+8], r)
	l.mu.Lock()
	h = l.mu.fill
	if l.mu.closed {
		return nil, false
	}
	if h.n >= l.cfg.Queue {
		l.mu.full++
		return nil, false
	}
	at := len(h.buf)
	whole := h.fits == at
	h.buf = append(h.buf, frame...)
	seal(h.buf[at:], l.life, h.round, l.mu.next, l.mu.bytes)
	if fits = whole && len(h.buf) <= l.size; fits {
		h.fits = len(h.buf)
	}
	h.n++
	l.mu.put++
	l.mu.next++
	l.mu.bytes += uint64(len(frame)-frameHeader-8) + overhead
	if !l.mu.awake {
		l.mu.awake = true
		l.wake <- struct{}{} // has room: the writer sleeps
	}
	if l.size > 0 && h.fits > l.size/2 {
		l.hurryLocked()
	}
	return h, fits
}

// hurryLocked has the writer begin a batch at once.
func (l *Ledger) hurryLocked() {
	if l.mu.hurried {
		return
	}
	l.mu.hurried = true
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// flush returns once everything that has been put is on disk, or after a while.
func (l *Ledger) flush(ctx context.Context) {
	l.mu.Lock()
	h := l.mu.fill
	if h.n == 0 {
		h = l.mu.old
	} else {
		l.hurryLocked()
	}
	if h == nil {
		l.mu.Unlock()
		return
	}
	if h.rest == nil {
		h.rest = newGroup()
	}
	g := h.rest
	l.mu.Unlock()
	limit := time.NewTimer(l.cfg.Wait)
	defer limit.Stop()
	select {
	case <-g.settled:
	case <-limit.C:
	case <-ctx.Done():
	}
}
