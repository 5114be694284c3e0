package main

import (
	"container/heap"
	"time"
)

// A clock runs what is to happen in the order of virtual time, and of asking where
// the time is the same.
type clock struct {
	now   time.Duration
	queue events
	asked uint64
}

type event struct {
	at time.Duration
	n  uint64
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last].do = nil
	*e = (*e)[:last]
	return x
}

// after has do happen once that much time has passed.
func (c *clock) after(d time.Duration, do func()) { c.at(c.now+max(d, 0), do) }

func (c *clock) at(at time.Duration, do func()) {
	c.asked++
	heap.Push(&c.queue, event{max(at, c.now), c.asked, do})
}

// run lets time pass until done, or nothing is to happen any more.
func (c *clock) run(done func() bool) {
	for len(c.queue) > 0 && !done() {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
}

// time is the virtual time as a time.Time.
func (c *clock) time() time.Time { return time.Unix(1_000_000, 0).Add(c.now) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
