package main

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/actors/gate"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
)

const deployment = "m"

// A world is the gateways' tables and the actors' gates, with the network between.
type world struct {
	*clock
	s      settings
	tables []*balance.Table
	actors []*actor
	done   int
	counts counts
}

// counts are of messages and refusals.
type counts struct{ control, rejects, leases, late int }

// An actor is one machine with its gate.
type actor struct {
	*machine
	w    *world
	id   spec.InstanceID
	gate gate.Gate
	seq  uint64
	wake time.Duration // when it will look again; 0: not
}

// production runs the trace with the code that gateways and actors run.
func production(s settings, trace []request, seed uint64) counts {
	w := &world{clock: &clock{}, s: s}
	random := rand.New(rand.NewPCG(seed, 2))
	for i, m := range fleetOf(w.clock, s.gpus) {
		if s.caches != nothingHeld {
			m.cache = newCache()
		}
		w.actors = append(w.actors, &actor{machine: m, w: w, id: spec.InstanceID("i" + strconv.Itoa(i))})
	}
	for i := range s.gateways {
		w.tables = append(w.tables, w.gateway(i, random))
	}
	for _, a := range w.actors {
		a.publish() // all begin with knowing all
		w.after(seconds(random.Float64()*w.period().Seconds()), a.beat)
	}
	for i := range trace {
		r := &trace[i]
		w.at(r.at+warm, func() { w.come(r) })
	}
	w.run(func() bool { return w.done == len(trace) })
	return w.counts
}

// warm is how long tables and gates run before the first request.
const warm = time.Minute

func (w *world) gateway(i int, random *rand.Rand) *balance.Table {
	t := balance.NewTable(balance.Config{
		DigestInterval: max(w.s.staleness, time.Second), QueueTimeout: 24 * time.Hour, QueueLength: 1 << 20,
		Now: w.time, Random: random.Uint64,
		Reserve: func(to spec.Target, r spec.Reservation) {
			w.counts.control++
			r.Gateway = nodeOf(i)
			w.after(w.s.latency, func() { w.actors[number(to.Instance)].reserve(r) })
		},
	})
	t.PutMember(balance.Member{Node: "n"})
	return t
}

func nodeOf(gateway int) spec.NodeID { return spec.NodeID("g" + strconv.Itoa(gateway)) }

func number(id spec.InstanceID) int {
	n, _ := strconv.Atoi(string(id[1:]))
	return n
}

// period is between two digests of an actor.
func (w *world) period() time.Duration {
	return min(max(w.s.staleness, 20*time.Millisecond), time.Second)
}

// come has a request come, or come back, to its gateway.
func (w *world) come(r *request) {
	q := &balance.Query{Deployment: deployment, Version: 1, PromptTokens: r.prompt, OutputTokens: r.output, Expected: true}
	if r.talk != nil && (w.s.caches == guessed || w.s.caches == announced) {
		q.Prompt = r.talk.names(r.turn)
	}
	w.ask(r, q)
}

func (w *world) ask(r *request, q *balance.Query) {
	g, waits, err := w.tables[r.gateway].Enter(q, func(g balance.Grant, err error) {
		if err != nil {
			panic(err)
		}
		w.after(0, func() { w.send(r, q, &g) })
	})
	switch {
	case err != nil:
		panic(err)
	case !waits:
		w.send(r, q, &g)
	}
}

// send carries a request to the actor that it has a place at, and back.
func (w *world) send(r *request, q *balance.Query, g *balance.Grant) {
	var call spec.Call
	g.Bind(&call)
	call.Gateway = nodeOf(r.gateway)
	a := w.actors[number(g.Target.Instance)]
	w.after(w.s.latency, func() {
		if load, ok := a.admit(r, &call, g); !ok {
			w.counts.rejects++
			w.after(w.s.latency, func() {
				g.Rejected(&spec.Rejection{Reason: spec.RejectBusy, Load: &load})
				g.Release()
				w.ask(r, q)
			})
		}
	})
}

func (a *actor) facts() gate.Facts {
	return gate.Facts{Slots: a.slots, Running: a.running, Unread: a.unread, PrefillTPS: a.prefill}
}

// admit takes the request in where there is room.
func (a *actor) admit(r *request, c *spec.Call, g *balance.Grant) (spec.Load, bool) {
	f, now := a.facts(), a.w.time()
	bound := c.Lease != 0 && a.gate.Bind(c.Gateway, c.Lease, now)
	if c.Lease != 0 && !bound {
		a.w.counts.late++
	}
	waits := c.Waiting(a.id)
	a.gate.Reserve(&waits, now)
	unread := max(r.prompt-g.Cached, 1)
	if !bound && !a.gate.Room(&f, unread, now) {
		a.pump()
		return a.load(), false
	}
	a.gate.Take(&f, unread, now)
	a.start(&work{r: r,
		first: func() { a.tell(func(l spec.Load) { r.first = a.w.now - warm - r.at; g.Learn(l) }) },
		end:   func() { a.tell(func(l spec.Load) { g.Learn(l); g.Release(); g.Found(r.cached); a.w.done++ }) }})
	a.pump()
	return spec.Load{}, true
}

// tell has the gateway hear of the load with what happens.
func (a *actor) tell(heard func(spec.Load)) {
	a.pump()
	l := a.load()
	a.w.after(a.w.s.latency, func() { heard(l) })
}

func (a *actor) reserve(r spec.Reservation) {
	a.gate.Reserve(&r, a.w.time())
	a.pump()
}

// pump grants what there is to grant, and looks again when there may be more.
func (a *actor) pump() {
	now, f := a.w.time(), a.facts()
	a.gate.Expire(now)
	for {
		l, ok := a.gate.Next(&f, now)
		if !ok {
			break
		}
		a.w.counts.leases++
		l.Load = a.load()
		gateway, _ := strconv.Atoi(string(l.Gateway[1:]))
		a.w.after(a.w.s.latency, func() { a.w.tables[gateway].Granted("n", l) })
	}
	due, any := a.gate.Due()
	if opens, waits := a.gate.Opens(&f, now); waits && (!any || opens.Before(due)) {
		due, any = opens, true
	}
	if !any {
		return
	}
	at := a.w.now + max(due.Sub(now), 0)
	if a.wake > a.w.now && a.wake <= at {
		return
	}
	a.wake = at
	a.w.at(at, func() {
		if a.wake == at {
			a.wake = 0
			a.pump()
		}
	})
}

func (a *actor) load() spec.Load {
	f := a.facts()
	return spec.Load{Instance: a.id, Ready: true, Slots: a.slots, Running: a.running + a.gate.Granted(),
		BacklogSeconds: a.gate.Backlog(&f, a.w.time()), Paced: true, PrefillTPS: a.prefill, DecodeTPS: a.decode, Seq: a.seq}
}

func (a *actor) beat() {
	a.publish()
	a.w.after(a.w.period(), a.beat)
}

// publish tells every gateway the load, as old as the settings have it.
func (a *actor) publish() {
	a.seq++
	l := a.load()
	d := &wire.LoadDigest{Node: "n", Boot: 1, Devices: []*wire.DeviceLoad{{Device: string(a.id), Seq: a.seq, Instances: []*wire.InstanceLoad{{
		Instance: string(a.id), Deployment: deployment, Version: 1, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: uint32(l.Slots),
		Running: uint32(l.Running), BacklogSeconds: float32(l.BacklogSeconds), PrefillTps: float32(l.PrefillTPS), DecodeTps: float32(l.DecodeTPS), Grants: true, Paced: true}}}}}
	if a.w.s.caches == announced {
		d.Prefixes = append(d.Prefixes, a.cache.tell(a.id))
	}
	for _, t := range a.w.tables {
		if a.w.now == 0 {
			t.Observe(d, a.w.time())
			continue
		}
		a.w.after(a.w.s.latency+a.w.s.staleness, func() { t.Observe(d, a.w.time()) })
	}
}
