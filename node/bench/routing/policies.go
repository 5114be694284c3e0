package main

import (
	"math/rand/v2"
	"time"
)

// clairvoyant is the bound: one queue in front of all machines, which knows everything
// at once, and binds a request when a machine has less than the gate's backlog.
func clairvoyant(s settings, trace []request, _ uint64) counts {
	const gate = 0.2
	c := &clock{}
	fleet, done := fleetOf(c, s.gpus), 0
	var queue []*request
	var pump func()
	wake := time.Duration(0)
	pump = func() {
		for len(queue) > 0 {
			r := queue[0]
			var best *machine
			soonest, least := time.Duration(1<<62), 0.0
			for _, m := range fleet {
				switch {
				case m.running >= m.slots:
				case m.backlog() >= gate && m.running > 0:
					soonest = min(soonest, m.free-seconds(gate)+time.Microsecond)
				default:
					if at := m.backlog() + float64(r.prompt)/m.prefill + 0.1*float64(r.output)/m.decode; best == nil || at < least {
						best, least = m, at
					}
				}
			}
			if best == nil {
				if soonest < 1<<62 && (wake <= c.now || soonest < wake) {
					wake = soonest
					c.at(soonest, pump)
				}
				return
			}
			queue = queue[1:]
			best.start(&work{r: r, first: func() { r.first = c.now - r.at }, end: func() { done++; pump() }})
		}
	}
	for i := range trace {
		r := &trace[i]
		c.at(r.at, func() { queue = append(queue, r); pump() })
	}
	c.run(func() bool { return done == len(trace) })
	return counts{}
}

// A chooser chooses a machine at once, by what gateways know: what machines told some
// time ago, and their own requests.
type chooser func(g *guesses, r *rand.Rand) int

// guesses is what one gateway knows.
type guesses struct {
	fleet []*machine
	told  []int // requests, as told
	own   []int // its own since then, less those that ended
	sent  []int // its own that have not ended
	turn  int
}

func roundRobin(g *guesses, _ *rand.Rand) int {
	g.turn++
	return g.turn % len(g.fleet)
}

// powerOfTwo takes the better of two, by this gateway's own requests and the speed.
func powerOfTwo(g *guesses, r *rand.Rand) int {
	a, b := r.IntN(len(g.fleet)), r.IntN(len(g.fleet))
	if float64(g.sent[b]+1)/g.fleet[b].prefill < float64(g.sent[a]+1)/g.fleet[a].prefill {
		return b
	}
	return a
}

// leastRequest takes the least, by speed, of what machines told, own requests since then added.
func leastRequest(g *guesses, r *rand.Rand) int {
	best, least := 0, 0.0
	at := r.IntN(len(g.fleet))
	for k := range g.fleet {
		i := (k + at) % len(g.fleet)
		if n := float64(max(g.told[i]+g.own[i], g.sent[i])+1) / g.fleet[i].prefill; k == 0 || n < least {
			best, least = i, n
		}
	}
	return best
}

// atOnce binds every request when it comes.
func atOnce(choose chooser) policy {
	return func(s settings, trace []request, seed uint64) counts {
		c := &clock{}
		random := rand.New(rand.NewPCG(seed, 3))
		fleet, done := fleetOf(c, s.gpus), 0
		know := make([]*guesses, s.gateways)
		for i := range know {
			know[i] = &guesses{fleet: fleet, told: make([]int, len(fleet)), own: make([]int, len(fleet)), sent: make([]int, len(fleet)), turn: random.IntN(len(fleet))}
		}
		period := min(max(s.staleness, 20*time.Millisecond), time.Second)
		for i, m := range fleet {
			var beat func()
			beat = func() {
				n := m.load()
				c.after(s.latency+s.staleness, func() {
					for _, g := range know {
						g.told[i], g.own[i] = n, 0
					}
				})
				c.after(period, beat)
			}
			c.after(seconds(random.Float64()*period.Seconds()), beat)
		}
		for i := range trace {
			r := &trace[i]
			c.at(r.at, func() {
				g := know[r.gateway]
				to := choose(g, random)
				g.own[to]++
				g.sent[to]++
				c.after(s.latency, func() {
					fleet[to].start(&work{r: r, first: func() { r.first = c.now + s.latency - r.at },
						end: func() { done++; c.after(s.latency, func() { g.own[to]--; g.sent[to]-- }) }})
				})
			})
		}
		c.run(func() bool { return done == len(trace) })
		return counts{}
	}
}
