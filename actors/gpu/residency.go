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
	// Then it is told of as cold, and has lapse to be asked for again before it loses
	// its turn: gateways whose requests wait ask for what is cold alone.
	demandLasts = 2 * time.Minute
	lapse       = 5 * time.Second
	// hopeless is how long a load waits that would not fit if all others went: what
	// stands in its way may be on the move. Then it fails, and is placed elsewhere.
	hopeless = 30 * time.Second

	firstReload = 5.0              // seconds that a load takes, until one has been seen
	maxReadyIn  = 30 * time.Second // that callers are told
)

// residency is what an instance has beside its load when it is loaded on demand.
type residency struct {
	sleeping bool // its actor has been told to stop; it holds its memory until that has
	yielding bool // admits no more: its memory is for another

	wanted      time.Time // since when a load is asked for; zero: none is, or it has begun
	fitted      time.Time // when it last would have had room if others went
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
	in.state = wire.InstanceState_INSTANCE_STATE_LOADING
	if !in.waiting { // else its demand has lapsed a moment ago, and its turn has not
		in.waiting, in.wanted, in.fitted = true, now, now
	}
}

// ahead has the instance loaded before anybody asks for it, where that takes no memory
// that others wait for or hold.
func (t *table) ahead(in *inst, now time.Time) {
	if in == nil || in.state != wire.InstanceState_INSTANCE_STATE_COLD || in.sleeping || t.draining || t.quarantined() || t.pressed() || in.load.GetMemoryBytes() > t.free() {
		return
	}
	in.state = wire.InstanceState_INSTANCE_STATE_LOADING
	in.waiting, in.asked, in.wanted, in.fitted = true, now, now, now
}

// sleep unloads the instance, which stays placed. Its actor is to be stopped.
func (t *table) sleep(in *inst) {
	in.state, in.reason, in.engine, in.adapters = wire.InstanceState_INSTANCE_STATE_COLD, "", nil, nil
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
// loaded. The rest wait behind it, so that nobody starves; but nobody waits behind
// one that would not fit if all went.
func (t *table) arrange(now time.Time) (start []*inst, stop []evicted) {
	if t.quarantined() {
		return nil, t.idle(now)
	}
	queue := t.waiting(now)
	stop = append(t.idle(now), t.yielded(len(queue) > 0)...)
	for _, in := range queue {
		need, free := in.load.GetMemoryBytes(), t.free()
		_, leaving := t.reserved()
		switch {
		case need <= free && !in.sleeping:
			start = append(start, t.begin(in, now))
		case need <= free+leaving:
			return start, stop // it has room soon
		default:
			gone, hope := t.makeRoom(in, need-free-leaving, now)
			if stop = append(stop, gone...); hope {
				return start, stop
			}
		}
	}
	return start, stop
}

// begin has the instance's actor started.
func (t *table) begin(in *inst, now time.Time) *inst {
	in.waiting, in.wanted = false, time.Time{}
	if in.gathers() {
		in.spread.own = true
		in.spread.at++
	}
	if in.load.GetOnDemand() {
		in.state, in.reason = wire.InstanceState_INSTANCE_STATE_LOADING, ""
		t.runs++
		in.run, in.began = t.runs, now
	}
	return in
}

// pressed tells whether somebody waits for memory, or gives way: only then does the
// end of a request change what arrange says before the next heartbeat.
func (t *table) pressed() bool {
	for in := range t.every() {
		if in.waiting || in.yielding {
			return true
		}
	}
	return false
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
func (t *table) waiting(now time.Time) (queue []*inst) {
	for _, in := range t.sorted() {
		if in.waiting && in.load.GetOnDemand() {
			t.forget(in, now)
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

// forget has an instance wait no more that nobody has asked for in a while, or that
// nobody could ask for anything.
func (t *table) forget(in *inst, now time.Time) {
	unasked := now.Sub(in.asked)
	if unasked <= demandLasts && !t.draining {
		return
	}
	in.state, in.reason = wire.InstanceState_INSTANCE_STATE_COLD, ""
	if unasked > demandLasts+lapse || t.draining {
		in.waiting, in.wanted = false, time.Time{}
	}
}

// makeRoom unloads instances so that missing bytes come back for first, or has
// them run out of requests where that is due. Without hope it would not do to
// unload all that may be: only what is always loaded, or others' use of the device,
// stands in the way.
func (t *table) makeRoom(first *inst, missing uint64, now time.Time) (stop []evicted, hope bool) {
	always := !first.load.GetOnDemand()
	victims, refusal := t.evict(t.candidates(now, false, always), missing, now, memory.DefaultPolicy)
	if refusal != nil && (always || now.Sub(first.wanted) >= patience) {
		victims, refusal = t.evict(t.candidates(now, true, always), missing, now, memory.DefaultPolicy)
	}
	if refusal != nil {
		first.reason = clip(refusal.Error(), maxReason)
		if refusal.Later {
			first.fitted = now
		} else if !always && now.Sub(first.fitted) >= hopeless {
			first.state, first.waiting, first.spent, first.unstarted = wire.InstanceState_INSTANCE_STATE_FAILED, false, true, true
		}
		return nil, refusal.Later
	}
	first.reason, first.fitted = "", now
	for _, v := range victims {
		in := t.instances[v.ID]
		if in.leases > 0 {
			in.yielding = true
			continue
		}
		t.sleep(in)
		stop = append(stop, evicted{in, "memory", string(first.id)})
	}
	return stop, true
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

// ripe is since when the instance has served as the policy counts it.
func (in *inst) ripe(young bool) time.Time {
	return memory.Ripe(in.readyAt, time.Duration(in.load.GetMinResidentMs())*time.Millisecond, young)
}

// sorted lists all that has memory here, by id.
func (t *table) sorted() []*inst { return inOrder(slices.Collect(t.every())) }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
