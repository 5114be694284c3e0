package gpu

import (
	"container/heap"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A play is one device's part of a trace on virtual time: the table and its rules
// are the actor's own, loads and answers take as long as the trace says.
type play struct {
	t      testing.TB
	table  *table
	now    time.Time
	events events
	made   int
	lease  Lease
	loads  map[string]time.Duration
	queues map[string][]request // that wait at the gateway, by model
	asking map[string]bool      // an event will ask for the model again

	tally
}

type tally struct {
	loads   int
	loading time.Duration
	waits   []float64 // seconds
	left    int       // requests that waited for too long
}

const (
	unloading = time.Second
	deadline  = 2 * time.Minute
)

var traceEpoch = time.Unix(1_700_000_000, 0)

// simulate plays requests on a device with that choice of who is evicted.
func simulate(t testing.TB, models []traced, requests []request, choose evict) tally {
	p := &play{t: t, table: newTable(device.Device{ID: "gpu/sim", Kind: device.KindSimulated, MemoryTotal: traceMemory}),
		now: traceEpoch, loads: map[string]time.Duration{}, queues: map[string][]request{}, asking: map[string]bool{}}
	p.table.evict = choose
	for i, m := range models {
		load := &wire.LoadModel{Instance: m.id, Deployment: "d", Version: 1, Epoch: uint64(i + 1), Engine: "embedded", MemoryBytes: m.bytes, OnDemand: true}
		if _, err := p.table.add(load, fine); err != nil {
			t.Fatal(err)
		}
		p.loads[m.id] = m.load
	}
	for _, r := range requests {
		p.at(traceEpoch.Add(r.at), func() { p.arrive(r) })
	}
	if len(requests) == 0 {
		return p.tally
	}
	end := traceEpoch.Add(requests[len(requests)-1].at + 2*deadline)
	for second := traceEpoch; second.Before(end); second = second.Add(time.Second) { // readings of the device
		p.at(second, p.arrange)
	}
	for len(p.events) > 0 {
		e := heap.Pop(&p.events).(event)
		p.now = e.at
		e.do()
	}
	return p.tally
}

func (p *play) at(when time.Time, do func()) {
	p.made++
	heap.Push(&p.events, event{when, p.made, do})
}

func (p *play) arrive(r request) {
	p.queues[r.model] = append(p.queues[r.model], r)
	p.serve(r.model)
}

// serve admits who waits for the model, as long as it has places, or asks for it again in a while.
func (p *play) serve(model string) {
	queue := p.queues[model]
	for len(queue) > 0 {
		r := queue[0]
		waited := p.now.Sub(traceEpoch.Add(r.at))
		if waited > deadline {
			p.left++
			p.waits = append(p.waits, waited.Seconds())
			queue = queue[1:]
			continue
		}
		p.lease++
		lease := p.lease
		_, _, rejected := p.table.admit(&Admit{Lease: lease, Instance: spec.InstanceID(model), Deployment: "d", Version: 1}, p.now)
		if rejected != nil {
			p.askAgain(model, rejected.RetryAfter)
			break
		}
		p.waits = append(p.waits, waited.Seconds())
		queue = queue[1:]
		p.at(p.now.Add(r.service), func() {
			p.table.release(&Release{Lease: lease}, p.now)
			p.serve(model)
			p.arrange()
		})
	}
	p.queues[model] = queue
	p.arrange()
}

// askAgain has one of those who wait ask, as gateways do.
func (p *play) askAgain(model string, in time.Duration) {
	if p.asking[model] {
		return
	}
	p.asking[model] = true
	p.at(p.now.Add(max(in, time.Second)), func() {
		p.asking[model] = false
		p.serve(model)
	})
}

func (p *play) arrange() {
	start, stop := p.table.arrange(p.now)
	for _, in := range start {
		took := p.loads[string(in.id)]
		p.tally.loads, p.loading = p.tally.loads+1, p.loading+took
		p.at(p.now.Add(took), func() {
			p.table.change(changedTo(in, isReady, stub{slots: traceSlots}), p.now)
			p.serve(string(in.id))
		})
	}
	for _, v := range stop {
		p.at(p.now.Add(unloading), func() {
			p.table.ended(v.inst)
			p.arrange()
		})
	}
	if all, _ := p.table.reserved(); all > traceMemory {
		p.t.Fatalf("%d bytes of %d are reserved", all, uint64(traceMemory))
	}
}

// events in the order of time, then as they were made.
type events []event

type event struct {
	at  time.Time
	seq int
	do  func()
}

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// lru evicts who was used the longest ago, by the same rules of who may go.
func lru(candidates []memory.Candidate, need uint64, now time.Time, p memory.Policy) ([]memory.Candidate, *memory.Refusal) {
	all, refusal := memory.Evict(candidates, need, now, p)
	if refusal != nil {
		return all, refusal
	}
	candidates = slices.Clone(candidates)
	slices.SortStableFunc(candidates, func(a, b memory.Candidate) int { return a.LastUsed.Compare(b.LastUsed) })
	var out []memory.Candidate
	for sum := uint64(0); sum < need; candidates = candidates[1:] {
		c := candidates[0]
		if _, kept := memory.Evict([]memory.Candidate{c}, 1, now, p); kept == nil {
			out, sum = append(out, c), sum+c.Bytes
		}
	}
	return out, nil
}

// clairvoyant evicts the set whose reloads cost least by what is to come: cost is
// told how long it is until the candidate is asked for again. With hasty, it may
// evict what has hardly served.
func clairvoyant(requests []request, hasty bool, cost func(c memory.Candidate, until time.Duration) float64) evict {
	uses := map[spec.InstanceID][]time.Time{}
	for _, r := range requests {
		uses[spec.InstanceID(r.model)] = append(uses[spec.InstanceID(r.model)], traceEpoch.Add(r.at))
	}
	return func(candidates []memory.Candidate, need uint64, now time.Time, p memory.Policy) ([]memory.Candidate, *memory.Refusal) {
		if all, refusal := memory.Evict(candidates, need, now, p); !hasty && refusal != nil {
			return all, refusal
		}
		var free []memory.Candidate
		var costs []float64
		for _, c := range candidates {
			if c.Pinned || c.Leases > 0 || c.Ready.IsZero() || !hasty && now.Sub(c.Ready) < p.MinResidency {
				continue
			}
			at, _ := slices.BinarySearchFunc(uses[c.ID], now, time.Time.Compare)
			until := 24 * time.Hour
			if at < len(uses[c.ID]) {
				until = max(uses[c.ID][at].Sub(now), time.Millisecond)
			}
			free, costs = append(free, c), append(costs, cost(c, until))
		}
		best, bestCost := 0, 0.0
		for set := 1; set < 1<<len(free); set++ {
			sum, total := uint64(0), 0.0
			for i, c := range free {
				if set>>i&1 == 1 {
					sum, total = sum+c.Bytes, total+costs[i]
				}
			}
			if sum >= need && (best == 0 || total < bestCost) {
				best, bestCost = set, total
			}
		}
		if best == 0 {
			return nil, &memory.Refusal{Need: need, Later: true}
		}
		var out []memory.Candidate
		for i, c := range free {
			if best>>i&1 == 1 {
				out = append(out, c)
			}
		}
		return out, nil
	}
}
