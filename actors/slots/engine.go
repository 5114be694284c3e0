package slots

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Told is what an engine tells of itself.
type Told struct {
	Leases    int  // requests that have places
	Known     bool // the rest is told
	Running   int  // that it works on
	Queued    int  // that wait inside of it
	KVUse     float64
	Preempted uint64  // requests, since it began, from which it has taken memory for others
	Tokens    uint64  // that it has written for those that it works on too, since it began; 0: not told
	Pieces    uint64  // of streamed answers that have been seen to come; 0: not known
	Passed    Passed  // as counted now
	Machine   float64 // tasks of the machine that compute or wait to, for each of its processors; 0: not known
}

// engine is what the engine has told of late.
type engine struct {
	preempted uint64
	told      bool          // preempted is known
	standing  int           // times in a row that requests were queued
	room      int           // the most that it worked on, meanwhile
	full      int           // times in a row that its cache was full to the brim
	pressed   int           // times in a row that the machine had too much to do
	leases    int           // as last told
	refused   time.Time     // when a request was, last, for want of memory
	hold      time.Time     // before which it does not grow
	holds     time.Duration // that it did not, the last time that the engine ran out of memory
}

const (
	standingFor = 3 // times in a row that are no chance
	fullKV      = 0.9
	brimKV      = 0.97
	tooMuch     = 1.25 // tasks for each processor
	holdLast    = 2 * time.Hour
)

// Look takes in what the engine tells, about once a second.
func (c *Controller) Look(t Told, now time.Time) Reason {
	if len(c.steps) == 0 {
		return Unchanged
	}
	e := &c.engine
	e.leases = t.Leases
	if why := c.watched(&t, now); why != Unchanged {
		return why
	}
	e.pressed = inARow(e.pressed, t.Machine > tooMuch)
	if !t.Known {
		return Unchanged
	}
	if t.KVUse >= fullKV {
		e.hold = spec.Later(e.hold, now.Add(upFirst))
	}
	if e.full = inARow(e.full, t.KVUse >= brimKV); e.full >= standingFor && t.Leases > 1 {
		e.full = 0
		if to := c.atLeast(t.Leases) - 1; to < c.at && to >= 0 {
			return c.lower(to, Memory, now)
		}
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

// OutOfMemory takes in that the engine has ended for want of memory. What it had to do then is too much,
// for longer each time.
func (c *Controller) OutOfMemory(now time.Time) Reason {
	leases := c.engine.leases
	c.engine.leases = 0
	return c.tooMuch(leases, now)
}

// Refused takes in that the engine has answered so a request that came then, one of so many, and lives. Those
// that it refuses together count once.
func (c *Controller) Refused(leases int, came, now time.Time) Reason {
	if !came.After(c.engine.refused) {
		return Unchanged
	}
	c.engine.refused = now
	return c.tooMuch(leases, now)
}

// tooMuch has so many requests have been too many for the engine's memory.
func (c *Controller) tooMuch(leases int, now time.Time) Reason {
	e := &c.engine
	n := min(leases, c.Limit())
	if n <= 0 { // it had nothing to do: that is not why
		return Unchanged
	}
	e.holds = min(max(2*e.holds, upLast), holdLast)
	e.hold = now.Add(e.holds)
	if to := c.below(n); to < c.at {
		return c.lower(to, Memory, now)
	}
	return Unchanged
}

func inARow(before int, again bool) int {
	if again {
		return min(before+1, standingFor)
	}
	return 0
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
		c.up.next = spec.Later(c.up.next, now.Add(upFirst))
	} else {
		c.up.vain(upFirst, upLast, now)
	}
	c.trial, c.reach = trial{}, 0
	return c.move(to, why, now)
}
