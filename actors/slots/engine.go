package slots

import (
	"math"
	"time"
)

// Told is what an engine tells of itself.
type Told struct {
	Leases    int  // requests that have places
	Known     bool // the rest is told
	Running   int  // that it works on
	Queued    int  // that wait inside of it
	KVUse     float64
	Preempted uint64 // requests, since it began, from which it has taken memory for others
}

// engine is what the engine has told of late.
type engine struct {
	preempted uint64
	told      bool // preempted is known
	standing  int  // times in a row that requests were queued
	room      int  // the most that it worked on, meanwhile
	hold      time.Time
}

const (
	standingFor = 3 // times in a row that are no chance
	fullKV      = 0.9
)

// Look takes in what the engine tells, about once a second.
func (c *Controller) Look(t Told, now time.Time) Reason {
	if len(c.steps) == 0 {
		return Unchanged
	}
	e := &c.engine
	if !t.Known {
		return Unchanged
	}
	if t.KVUse >= fullKV {
		e.hold = now.Add(upFirst)
	}
	was := e.preempted
	e.preempted = t.Preempted
	if e.told && t.Preempted > was && c.at > 0 && now.Sub(c.since) >= upFirst/2 {
		return c.lower(c.at-1, Preempted, now)
	}
	e.told = true
	if t.Queued <= 0 || t.Leases <= 0 {
		e.standing, e.room = 0, 0
		return Unchanged
	}
	// Of an engine that others use too, the part that is ours.
	ours := float64(t.Running) * min(float64(t.Leases)/float64(t.Running+t.Queued), 1)
	e.standing, e.room = e.standing+1, max(e.room, int(math.Ceil(ours)))
	if e.standing < standingFor || e.room == 0 { // it works on none: that it has many is not why
		return Unchanged
	}
	to := max(c.atLeast(e.room), c.below(c.steps[c.at]))
	e.standing, e.room = 0, 0
	if to >= c.at {
		return Unchanged
	}
	return c.lower(to, Queue, now)
}

// atLeast is the least step that has room for n.
func (c *Controller) atLeast(n int) int {
	for i, s := range c.steps {
		if s >= n {
			return i
		}
	}
	return len(c.steps) - 1
}

// lower takes the limit down because of what the engine has told, and waits before it grows again.
func (c *Controller) lower(to int, why Reason, now time.Time) Reason {
	if now.Before(c.up.next) { // it goes on down
		c.up.next = later(c.up.next, now.Add(upFirst))
	} else {
		c.up.vain(upFirst, upLast, now)
	}
	c.trial, c.reach = trial{}, 0
	return c.move(to, why, now)
}
