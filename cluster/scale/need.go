package scale

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// What the reckoning goes by.
const (
	averaged   = 15 * time.Second // over which requests that run are counted
	trendSpan  = time.Minute      // over which it is looked whether more and more come, at least
	draining   = 10 * time.Second // in which those who wait are to be served, at least
	settles    = 10 * time.Second // after a replica has become ready, in which waits are of before
	sure       = 2                // standard errors by which a trend is taken for less than it looks
	spare      = 1.1              // times what is asked for, that fewer replicas must have room for
	firstSlots = 4                // of a replica, where none has ever served
	firstLoad  = 30 * time.Second // that one takes to be loaded, where none has told
	mostLoad   = 10 * time.Minute
)

// A need is how many replicas what is asked for takes, and why.
type need struct {
	up, down int
	reason   Reason
	queue    bool // requests wait, or are refused, beyond the target
}

// needed reckons from the newest sample and those before it.
func needed(s *wire.Scale, h *History) need {
	last := &h.Samples[len(h.Samples)-1]
	offered := h.offered(last)
	grown := offered + h.growth(last, offered)
	slots := h.slots() * slotUse(s)
	n := need{up: ceil(offered / slots), down: ceil(spare * grown / slots), reason: BySlots}
	if more := ceil(grown / slots); more > n.up {
		n.up, n.reason = more, ByTrend
	}
	if target := float64(s.GetTokensPerSecond()); target > 0 {
		tokens := mean(since(h.Samples, averaged), func(s *Sample) float64 { return s.Tokens })
		if grown > offered && offered > 0 {
			tokens *= grown / offered
		}
		if more := ceil(tokens / target); more > n.up {
			n.up, n.reason = more, ByTokens
		}
		n.down = max(n.down, ceil(spare*tokens/target))
	}
	if n.queue = h.queues(s, last); n.queue && last.Ready+1 > n.up {
		n.up, n.reason = last.Ready+1, ByQueue
	}
	if asked := last.Running + last.Queued + last.Waiting + last.Arrived + last.Refused; asked > 0 && n.up == 0 {
		n.up = 1
	}
	n.down = max(n.down, n.up)
	return n
}

// queues tells whether requests wait longer than they are to, by what has happened since
// replicas last became more.
func (h *History) queues(s *wire.Scale, last *Sample) bool {
	target := queueWait(s)
	switch recent := since(h.Samples, settles); {
	case last.Waiting > 0 && last.Oldest > target:
		return true
	case recent[0].Ready < last.Ready:
		return false
	}
	return last.Refused > 0 || last.late(target)
}

// offered is how many requests would run at a time if none had to wait: those that do,
// as many times more as came in place of those that were given places, by Little's law;
// and of those who wait what it takes to have them served within a while.
func (h *History) offered(last *Sample) float64 {
	running := mean(since(h.Samples, averaged), func(s *Sample) float64 { return float64(s.Running + s.Queued) })
	out := running
	if started := last.started(); started > 0 && last.Arrived > started {
		out *= float64(last.Arrived) / float64(started)
	}
	waits := float64(last.Waiting)
	if h.Hold > 0 {
		waits *= min(1, h.Hold/draining.Seconds())
	}
	return out + waits
}

// growth is how many more will run at a time when a replica has been loaded that is
// begun now: the slope of arrivals, as far as chance does not explain it.
func (h *History) growth(last *Sample, offered float64) float64 {
	load := h.load()
	recent := since(h.Samples, max(trendSpan, min(load, Memory)))
	span := last.At.Sub(recent[0].At).Seconds()
	if h.Hold <= 0 || len(recent) < 10 || span < trendSpan.Seconds()/3 {
		return 0
	}
	slope, rate := trend(recent)
	chance := math.Sqrt(12 * max(rate, 0) / (span * span * span)) // of arrivals that know nothing of each other
	more := (slope - sure*chance) * load.Seconds() * h.Hold
	return min(max(more, 0), max(offered, h.slots()))
}

// trend is the slope of arrivals per second, and their mean, by least squares.
func trend(samples []Sample) (slope, rate float64) {
	from := samples[0].At
	var n, x, y, xx, xy float64
	for i := range samples {
		s := &samples[i]
		if s.Window <= 0 {
			continue
		}
		t, a := s.At.Sub(from).Seconds(), float64(s.Arrived)/s.Window.Seconds()
		n, x, y, xx, xy = n+1, x+t, y+a, xx+t*t, xy+t*a
	}
	if d := n*xx - x*x; n > 1 && d > 0 {
		return (n*xy - x*y) / d, y / n
	}
	return 0, 0
}

func (h *History) load() time.Duration {
	if h.Load <= 0 {
		return firstLoad
	}
	return min(h.Load, mostLoad)
}

func (h *History) slots() float64 {
	if h.Slots <= 0 {
		return firstSlots
	}
	return h.Slots
}

// mean of what f tells of the samples.
func mean(samples []Sample, f func(*Sample) float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sum := 0.0
	for i := range samples {
		sum += f(&samples[i])
	}
	return sum / float64(len(samples))
}

// ceil is x as a number of replicas, forgiving what floats get wrong.
func ceil(x float64) int {
	const most = 1 << 20
	if !(x > 0) {
		return 0
	}
	return int(min(math.Ceil(x-1e-9), most))
}
