package main

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// The bounds that every policy keeps to.
const (
	least = 2
	most  = 24
)

// A policy says once a second how many replicas are wanted.
type policy func(w *world) int

func fixed(n int) func([]request, time.Duration) policy {
	return func([]request, time.Duration) policy { return func(*world) int { return n } }
}

// production is the controller of the leader.
func production([]request, time.Duration) policy {
	c := scale.NewController()
	d := &wire.Deployment{Name: "m", Replicas: least, Scale: &wire.Scale{Min: least, Max: most, QueueWaitMs: uint32(target.Milliseconds())}}
	start := time.Unix(1_000_000_000, 0)
	return func(w *world) int {
		s := scale.Sample{At: start.Add(w.now), Placed: w.placed(), Ready: w.ready(), Slots: w.ready() * slots, Running: w.running(), Load: w.load}
		s.Waiting, s.Window = len(w.queue), 10*time.Second
		if s.Waiting > 0 {
			s.Oldest = w.now - w.trace[w.queue[0]].at
		}
		for _, one := range w.seconds[max(len(w.seconds)-10, 0):] {
			s.Arrived, s.Refused = s.Arrived+one.arrived, s.Refused+one.refused
			for _, wait := range one.waits {
				s.Waits[spec.WaitBound(wait)]++
			}
		}
		got, _ := c.Look(d, s, scale.Began(d, s.Placed, s.At))
		return got.Wanted
	}
}

// threshold is the rule that most autoscalers know: every 15 seconds as many replicas as
// bring the use of those that serve to the target, unless it is near it; fewer only if so
// many would have done for five minutes.
func threshold([]request, time.Duration) policy {
	const every, tolerance, window = 15, 0.1, 300
	type advice struct {
		at time.Duration
		n  int
	}
	var advices []advice
	used := 0
	return func(w *world) int {
		used += w.running()
		have := w.placed()
		if int(w.now/time.Second)%every != 0 {
			return have
		}
		use := float64(used) / every / float64(max(w.ready(), 1)*slots)
		used = 0
		ratio := use / spec.DefaultSlotUse
		n := have
		if math.Abs(ratio-1) > tolerance {
			n = int(math.Ceil(float64(w.ready()) * ratio))
		}
		if ratio > 1 {
			n = max(n, have) // those that load do not yet count as used
		}
		n = min(max(n, least), most)
		advices = append(advices, advice{w.now, n})
		for _, a := range advices {
			if w.now-a.at <= window*time.Second && n < have {
				n = max(n, min(a.n, have))
			}
		}
		return n
	}
}

// clairvoyant knows every request to come: as many as the most that will run at a time
// between now and a while after a replica that is begun now serves.
func clairvoyant(trace []request, load time.Duration) policy {
	const lasts = 120 // seconds for which a replica that is needed again stays
	var busy []int
	for _, r := range trace {
		for s := int(r.at / time.Second); s <= int((r.at+r.holds)/time.Second); s++ {
			for len(busy) <= s {
				busy = append(busy, 0)
			}
			busy[s]++
		}
	}
	return func(w *world) int {
		from, need := int(w.now/time.Second), 0
		for s := from; s < min(from+int(load/time.Second)+lasts, len(busy)); s++ {
			need = max(need, busy[s])
		}
		return min(max((need+slots-1)/slots, least), most)
	}
}
