package main

import "time"

// A machine is a GPU with its engine: it reads prompts one after the other, and
// writes answers at the same time, each at the same pace. A request holds a slot.
type machine struct {
	clock   *clock
	prefill float64 // tokens per second
	decode  float64 // of one answer
	slots   int
	running int
	unread  int           // tokens of prompts that are not read whole
	free    time.Duration // when all prompts that it has will have been read
	queue   []*work       // beyond its slots
	cache   *cache        // nil: it holds nothing
}

type work struct {
	r     *request
	first func() // its first token is there
	end   func() // its answer is whole
}

const (
	basePrefill = 2000 // of the slowest
	baseDecode  = 25
	slotsOfAll  = 32
)

// fleetOf is n machines whose speeds are as 4 to 2 to 1.
func fleetOf(c *clock, n int) []*machine {
	out := make([]*machine, n)
	for i := range out {
		f := float64(int(4) >> (i % 3))
		out[i] = &machine{clock: c, prefill: basePrefill * f, decode: baseDecode * f, slots: slotsOfAll}
	}
	return out
}

func speedOf(fleet []*machine) (sum float64) {
	for _, m := range fleet {
		sum += m.prefill
	}
	return sum
}

// backlog is what it has to read, in seconds.
func (m *machine) backlog() float64 { return max(m.free-m.clock.now, 0).Seconds() }

// load is how many requests it has.
func (m *machine) load() int { return m.running + len(m.queue) }

// start takes a request in, which waits there where no slot is free.
func (m *machine) start(w *work) {
	if m.running >= m.slots {
		m.queue = append(m.queue, w)
		return
	}
	m.running++
	w.r.cached = m.cache.of(w.r)
	unread := w.r.prompt - w.r.cached
	m.unread += unread
	m.free = max(m.free, m.clock.now) + seconds(float64(unread)/m.prefill)
	read := m.free
	m.clock.at(read, func() {
		m.unread -= unread
		m.cache.keep(w.r)
		w.first()
	})
	m.clock.at(read+seconds(float64(w.r.output)/m.decode), func() {
		m.running--
		w.end()
		if len(m.queue) > 0 {
			next := m.queue[0]
			m.queue = m.queue[1:]
			m.start(next)
		}
	})
}
