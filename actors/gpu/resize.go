package gpu

import (
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/slots"
	"github.com/lotabots/lotabots/cluster/spec"
)

// An integral is of a number over time, in seconds.
type integral struct {
	sum float64
	of  time.Time
}

// pass has n count up to now, and returns the integral.
func (s *integral) pass(n int, now time.Time) float64 {
	if !s.of.IsZero() {
		s.sum += float64(n) * max(now.Sub(s.of), 0).Seconds()
	}
	s.of = now
	return s.sum
}

// takes has the places be found within what the engine takes, where the deployment asks for that.
func (in *inst) takes() {
	if in.load.GetOptions()[spec.AdaptiveSlots] == "on" {
		in.limit.Ceiling(in.slots)
	}
}

// places is how many requests the instance gets at a time, as far as it alone is asked.
func (in *inst) places() int {
	if n := in.limit.Limit(); n > 0 {
		return min(n, in.slots)
	}
	return in.slots
}

// went takes in how a request went, whose lease is about to end. What a device does that is
// held back tells nothing of later.
func (t *table) went(l *lease, m *Release, now time.Time) {
	in := l.inst
	area := in.held.pass(in.leases, now) - l.beside
	held := now.Sub(l.began)
	if !m.Whole || held <= 0 || in.engine == nil || t.share() < 1 {
		return
	}
	s := slots.Sample{Held: held, Beside: area / held.Seconds(), Prompt: m.PromptTokens, Completion: m.CompletionTokens}
	in.resize(in.limit.Ended(s, now))
}

// told takes in what the engine tells of itself.
func (in *inst) told(l *engine.Load, now time.Time) {
	in.resize(in.limit.Look(slots.Told{Leases: in.leases, Known: l.Known, Running: l.Running, Queued: l.Queued, KVUse: l.KVUse, Preempted: l.Preempted}, now))
}

func (in *inst) resize(why slots.Reason) {
	if why != slots.Unchanged {
		in.resized = append(in.resized, why)
	}
}

// resized tells of changes of the instance's places. nil is no instance.
func (a *Actor) resized(in *inst) {
	if in == nil || len(in.resized) == 0 {
		return
	}
	for _, why := range in.resized {
		a.cfg.Metrics.resizes.WithLabelValues(in.load.GetDeployment(), string(why)).Inc()
	}
	a.cfg.Log.Debug("instance's places have changed", "instance", in.id, "deployment", in.load.GetDeployment(), "slots", in.places(), "ceiling", in.slots, "reason", in.resized[len(in.resized)-1])
	in.resized = in.resized[:0]
}
