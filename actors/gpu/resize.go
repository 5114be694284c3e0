package gpu

import (
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/slots"
	"github.com/lotabots/lotabots/cluster/wire"
)

// reasons are those for which slots change, as digests tell them.
var reasons = map[slots.Reason]wire.SlotsReason{
	slots.Gain: wire.SlotsReason_SLOTS_REASON_GAIN, slots.NoGain: wire.SlotsReason_SLOTS_REASON_NO_GAIN, slots.Restored: wire.SlotsReason_SLOTS_REASON_RESTORED,
	slots.Queue: wire.SlotsReason_SLOTS_REASON_QUEUE, slots.Preempted: wire.SlotsReason_SLOTS_REASON_PREEMPTED,
	slots.Memory: wire.SlotsReason_SLOTS_REASON_MEMORY, slots.Machine: wire.SlotsReason_SLOTS_REASON_MACHINE,
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

// passes has the requests and places count as they are up to now, before any comes or goes.
func (in *inst) passes(now time.Time) slots.Passed {
	return in.crowd.Pass(in.leases, in.streams, in.leases+in.gate.Granted(), now)
}

// went takes in how a request went, whose lease is about to end. What a device does that is
// held back tells nothing of later.
func (t *table) went(l *lease, m *Release, now time.Time) {
	in := l.inst
	passed := in.passes(now).Since(l.since)
	switch {
	case in.engine == nil:
	case m.RanOut:
		in.resize(in.limit.Refused(in.leases, l.began, now))
	case m.Whole && t.share() == 1:
		in.resize(in.limit.Ended(slots.Sample{Passed: passed, Prompt: m.PromptTokens, Completion: m.CompletionTokens, Pieces: m.Pieces}, now))
	}
}

// tells takes in what the engine tells of itself, what has been seen of its answers, and what is known of the machine.
func (t *table) tells(in *inst, m *instance.Measured, now time.Time) {
	l := &m.Load
	told := slots.Told{Leases: in.leases, Known: l.Known, Running: l.Running, Queued: l.Queued, KVUse: l.KVUse, Preempted: l.Preempted, Passed: in.passes(now), Machine: t.reading.Load}
	if t.share() == 1 {
		told.Tokens, told.Pieces = l.Written, m.Pieces
	}
	in.resize(in.limit.Look(told, now))
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
