package batch

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// How long it takes until more than an engine has shown to take is tried again: the first
// time, and at most. It doubles with each time that the engine shows it anew.
const (
	firstPause = time.Minute
	mostPause  = time.Hour
)

// A learnt is how many inputs of one call an instance's engine takes, as it has shown. It
// may have been a passing want of memory, or one request's doing, so that it is not for ever.
type learnt struct {
	most  int
	good  int // that it has taken; 0: not known
	since time.Time
	pause time.Duration
}

// at is the bound now: after a pause it is a quarter more than before.
func (l *learnt) at(now time.Time) int {
	if now.Sub(l.since) >= l.pause {
		l.good, l.since = l.most, now
		l.most += max(l.most/4, 1)
	}
	return l.most
}

// fell takes in that the engine refused so many inputs in one call, and took most of them.
func (l *learnt) fell(refused, most int, now time.Time) {
	if l.pause > 0 && refused > l.most { // a single request's, which had been known
		return
	}
	if l.good < refused {
		most = max(most, l.good)
	}
	l.pause = min(max(2*l.pause, firstPause), mostPause)
	l.most, l.good, l.since = max(most, 1), 0, now
}

// learn remembers that the instance's engine refused so many inputs in one call, and took
// most of them at a time.
func (b *Batcher) learn(id spec.InstanceID, refused, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.mu.most[id]
	if l == nil {
		l = &learnt{}
		b.mu.most[id] = l
	}
	l.fell(refused, most, time.Now())
}

// learntLocked is the limits, or less where the engine has shown that it takes less.
func (b *Batcher) learntLocked(id spec.InstanceID, limits Limits) Limits {
	l := b.mu.most[id]
	if l == nil {
		return limits
	}
	if limits.Inputs = min(limits.Inputs, l.at(time.Now())); limits.Inputs < l.most {
		l.most = limits.Inputs // as much as is asked for at all
	}
	return limits
}
