package gpu

import (
	"cmp"
	"slices"
	"time"

	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	defaultKeepAlive = 10 * time.Minute
	// patience is how long who waits for memory leaves those alone that serve
	// requests. After it they are admitted no more, so that each has its turn.
	patience = 10 * time.Second
	// demandLasts is how long a load that nobody asks for any more is still wanted.
	demandLasts = 2 * time.Minute

	firstReload = 5.0              // seconds that a load takes, until one has been seen
	maxReadyIn  = 30 * time.Second // that callers are told
)

// residency is what an instance has beside its load when it is loaded on demand.
type residency struct {
	sleeping bool // its actor has been told to stop; it holds its memory until that has
	yielding bool // admits no more: its memory is for another

	wanted      time.Time // since when a load is asked for; zero: none is, or it has begun
	asked       time.Time // when it was last asked for
	began       time.Time // of the last load
	readyAt     time.Time // zero: not loaded
	usedAt      time.Time
	loadSeconds float64 // that the last load took; 0: none yet
	demand      memory.Demand
}

// loaded notes that the instance serves.
func (r *residency) loaded(now time.Time) {
	if !r.began.IsZero() {
		r.loadSeconds = now.Sub(r.began).Seconds()
		r.began = time.Time{}
	}
	r.readyAt, r.usedAt = now, now
}

func (r *residency) used(now time.Time) { r.usedAt = now }

// readyIn is when a caller may look again.
func (r *residency) readyIn(now time.Time) time.Duration {
	left := max(r.loadSeconds, firstReload)
	if !r.began.IsZero() {
		left -= now.Sub(r.began).Seconds()
	}
	return min(max(time.Duration(left*float64(time.Second)), time.Second), maxReadyIn)
}

// wake has the instance loaded because a request asks for it. Many requests make
// one load.
func (t *table) wake(in *inst, now time.Time) {
	in.asked = now
	in.demand.Note(now)
	if in.state != wire.InstanceState_INSTANCE_STATE_COLD {
		return
	}
	in.state, in.waiting, in.wanted = wire.InstanceState_INSTANCE_STATE_LOADING, true, now
}

// sleep unloads the instance, which stays placed. Its actor is to be stopped.
func (t *table) sleep(in *inst) {
	in.state, in.reason, in.engine = wire.InstanceState_INSTANCE_STATE_COLD, "", nil
	in.sleeping, in.yielding, in.readyAt = true, false, time.Time{}
	in.busy.Running, in.busy.Queued, in.busy.KVUse = 0, 0, 0
}

// An evicted instance has been put to sleep.
type evicted struct {
	inst  *inst
	cause string // idle, memory
	by    string // the instance that gets the memory
}

// arrange decides whose turn it is: it returns instances whose actors are to be
// started, their memory being free, and those whose actors are to be stopped.
// Whoever waits gets what is free in turn; for the first that lacks some, idle
// instances go, the least missed first. Where those do not suffice, others are let
// run out of requests after a while, at once for an instance that is always
// loaded. The rest wait behind it, so that nobody starves.
func (t *table) arrange(now time.Time) (start []*inst, stop []evicted) {
	if t.quarantined() {
		return nil, t.idle(now)
	}
	queue := t.waiting(now)
	stop = append(t.idle(now), t.yielded(len(queue) > 0)...)
	for len(queue) > 0 && !queue[0].sleeping && queue[0].load.GetMemoryBytes() <= t.free() {
		in := queue[0]
		queue = queue[1:]
		in.waiting, in.wanted = false, time.Time{}
		if in.gathers() {
			in.spread.own = true
			in.spread.at++
		}
		if in.load.GetOnDemand() {
			t.runs++
			in.run, in.began = t.runs, now
		}
		start = append(start, in)
	}
	if len(queue) == 0 {
		return start, stop
	}
	first := queue[0]
	_, leaving := t.reserved()
	coming := t.free() + leaving
	if need := first.load.GetMemoryBytes(); need > coming {
		stop = append(stop, t.makeRoom(first, need-coming, now)...)
	}
	return start, stop
}

// idle puts those to sleep that nobody has used for their keep-alive.
func (t *table) idle(now time.Time) (stop []evicted) {
	for _, in := range t.sorted() {
		keep := time.Duration(in.load.GetKeepAliveMs()) * time.Millisecond
		if keep == 0 {
			keep = defaultKeepAlive
		}
		if in.unloadable() && in.leases == 0 && keep > 0 && now.Sub(in.usedAt) >= keep {
			t.sleep(in)
			stop = append(stop, evicted{in, "idle", ""})
		}
	}
	return stop
}

// yielded puts those to sleep that have run out of requests for another's sake. If
// nobody waits any more they go on.
func (t *table) yielded(wanted bool) (stop []evicted) {
	for _, in := range t.sorted() {
		switch {
		case !in.yielding:
		case !wanted:
			in.yielding = false
		case in.leases == 0 && in.unloadable():
			t.sleep(in)
			stop = append(stop, evicted{inst: in, cause: "memory"})
		}
	}
	return stop
}

// unloadable tells whether the instance serves and may be unloaded for others.
func (in *inst) unloadable() bool {
	return in.load.GetOnDemand() && in.state == wire.InstanceState_INSTANCE_STATE_READY && !in.leaving
}

// unloadable is the memory that instances hold which others may have, beside that
// of those which leave anyway.
func (t *table) unloadable() (bytes uint64) {
	for in := range t.every() {
		if in.load.GetOnDemand() && in.holds() && !in.leaves() {
			bytes += in.load.GetMemoryBytes()
		}
	}
	return bytes
}

// waiting lists those that wait for memory, whose turn is first first: the always
// loaded in the order of their placement, then the others as they were asked for.
// What nobody has asked for in a while does not wait any more.
func (t *table) waiting(now time.Time) (queue []*inst) {
	for _, in := range t.sorted() {
		if in.waiting && in.load.GetOnDemand() && now.Sub(in.asked) > demandLasts {
			in.state, in.waiting, in.wanted = wire.InstanceState_INSTANCE_STATE_COLD, false, time.Time{}
		}
		if in.waiting {
			queue = append(queue, in)
		}
	}
	slices.SortFunc(queue, func(a, b *inst) int {
		return cmp.Or(compareBool(a.load.GetOnDemand(), b.load.GetOnDemand()), a.wanted.Compare(b.wanted), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.id, b.id))
	})
	return queue
}

// makeRoom unloads instances so that missing bytes come back for first, or has
// them run out of requests where that is due.
func (t *table) makeRoom(first *inst, missing uint64, now time.Time) (stop []evicted) {
	always := !first.load.GetOnDemand()
	victims, refusal := t.evict(t.candidates(now, false, always), missing, now, memory.DefaultPolicy)
	if refusal != nil && (always || now.Sub(first.wanted) >= patience) {
		victims, refusal = t.evict(t.candidates(now, true, always), missing, now, memory.DefaultPolicy)
	}
	if refusal != nil {
		first.reason = clip(refusal.Error(), maxReason)
		return nil
	}
	first.reason = ""
	for _, v := range victims {
		in := t.instances[v.ID]
		if in.leases > 0 {
			in.yielding = true
			continue
		}
		t.sleep(in)
		stop = append(stop, evicted{in, "memory", string(first.id)})
	}
	return stop
}

// candidates are those that may go: with busy also those that have requests, with
// young also those that have hardly served.
func (t *table) candidates(now time.Time, busy, young bool) []memory.Candidate {
	var out []memory.Candidate
	for _, in := range t.sorted() {
		if !in.holds() || in.leaves() {
			continue
		}
		c := memory.Candidate{ID: in.id, Bytes: in.load.GetMemoryBytes(), Pinned: !in.load.GetOnDemand(), Leases: in.leases,
			LastUsed: in.usedAt, Demand: in.demand.At(now), Reload: max(in.loadSeconds, 1)}
		if in.unloadable() {
			c.Ready = in.ripe(young)
		}
		if busy {
			c.Leases = 0
		}
		out = append(out, c)
	}
	return out
}

// ripe is since when the instance has served as the policy counts it, which has
// one least residency for all.
func (in *inst) ripe(young bool) time.Time {
	least := memory.DefaultPolicy.MinResidency
	switch own := time.Duration(in.load.GetMinResidentMs()) * time.Millisecond; {
	case young:
		return in.readyAt.Add(-least)
	case own > 0:
		return in.readyAt.Add(own - least)
	}
	return in.readyAt
}

// sorted lists the instances by id, so that decisions do not hang on chance.
func (t *table) sorted() []*inst {
	out := slices.Collect(t.every())
	slices.SortFunc(out, func(a, b *inst) int { return cmp.Compare(a.id, b.id) })
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
