package gpu

import (
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/slots"
	"github.com/lotabots/lotabots/cluster/wire"
)

// reasons are those for which slots change, as digests tell them.
var reasons = map[slots.Reason]wire.SlotsReason{
	slots.Gain: wire.SlotsReason_SLOTS_REASON_GAIN, slots.NoGain: wire.SlotsReason_SLOTS_REASON_NO_GAIN, slots.Restored: wire.SlotsReason_SLOTS_REASON_RESTORED,
	slots.Queue: wire.SlotsReason_SLOTS_REASON_QUEUE, slots.Preempted: wire.SlotsReason_SLOTS_REASON_PREEMPTED,
	slots.Memory: wire.SlotsReason_SLOTS_REASON_MEMORY, slots.Machine: wire.SlotsReason_SLOTS_REASON_MACHINE,
}

// An integral is of a number over time, in seconds.
type integral struct {
	sum float64
	of  time.Time
}

// pass has n count up to now, and returns the integral.
func (s *integral) pass(n float64, now time.Time) float64 {
	if !s.of.IsZero() {
		s.sum += n * max(now.Sub(s.of), 0).Seconds()
	}
	s.of = now
	return s.sum
}

// takes has the places be found within what the engine takes, where the deployment asks for that.
func (in *inst) takes() {
	if engine.Adapts(in.load.GetEngine(), in.load.GetOptions()) {
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

// crowded is what an instance's requests have had beside them so far.
type crowded struct {
	share integral // of one over those that are there: what each has of the engine where that is full
	taken integral // of the places that are taken, those included that are granted and that nobody has come to
}

// passes has the places count as they are up to now, before any is taken or given back.
func (in *inst) passes(now time.Time) {
	in.crowded.share.pass(1/float64(max(in.leases, 1)), now)
	in.crowded.taken.pass(float64(in.leases+in.gate.Granted()), now)
}

// went takes in how a request went, whose lease is about to end. What a device does that is
// held back tells nothing of later.
func (t *table) went(l *lease, m *Release, now time.Time) {
	in := l.inst
	in.passes(now)
	held, share := now.Sub(l.began), in.crowded.share.sum-l.share
	if !m.Whole || held <= 0 || share <= 0 || in.engine == nil || t.share() < 1 {
		return
	}
	s := slots.Sample{Held: held, Beside: held.Seconds() / share, Places: (in.crowded.taken.sum - l.taken) / held.Seconds(), Prompt: m.PromptTokens, Completion: m.CompletionTokens}
	in.resize(in.limit.Ended(s, now))
}

// tells takes in what the engine tells of itself, and what is known of the machine.
func (t *table) tells(in *inst, l *engine.Load, now time.Time) {
	in.resize(in.limit.Look(slots.Told{Leases: in.leases, Known: l.Known, Running: l.Running, Queued: l.Queued, KVUse: l.KVUse, Preempted: l.Preempted, Machine: t.reading.Load}, now))
}

// ranOut takes in why the instance's engine has ended.
func (in *inst) ranOut(reason string, now time.Time) {
	if engine.RanOut(reason) {
		in.resize(in.limit.OutOfMemory(now))
	}
}

func (in *inst) resize(why slots.Reason) {
	if why != slots.Unchanged {
		in.why = why
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
