package scale

import (
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Reason is why so many replicas are wanted.
type Reason string

// The reasons.
const (
	ByQueue    Reason = "queue"    // requests wait longer than they are to, or are refused
	BySlots    Reason = "slots"    // by the share of slots that is to be taken
	ByTrend    Reason = "trend"    // by what will be asked for when a replica has been loaded
	ByTokens   Reason = "tokens"   // by the tokens that a replica is to do
	BySchedule Reason = "schedule" // by a schedule's bounds
	ByBounds   Reason = "bounds"   // by min or max
	ByRoom     Reason = "room"     // more would have no place
	ByWindow   Reason = "window"   // fewer, or more, are not wanted for long enough yet
	ByIdle     Reason = "idle"     // nothing is asked for
)

// A Decision is how many replicas are wanted, and why.
type Decision struct {
	Wanted   int
	Min, Max int // that bound it now
	Reason   Reason
	Text     string // for people
	Look     Look   // to be in History.Looks from now on
}

// Decide tells how many replicas are wanted now. It is never outside of the bounds that
// hold, and Wanted never becomes less but after a whole window in which less was needed.
func Decide(s *wire.Scale, h *History, now time.Time) Decision {
	least, most, scheduled := bounds(s, now)
	if ahead, high, by := bounds(s, now.Add(h.load())); by && ahead > least {
		least, scheduled = min(ahead, max(most, high)), true // what a schedule will want is loaded by then
		most = max(most, least)
	}
	d := Decision{Min: least, Max: most, Wanted: h.Wanted, Reason: ByBounds}
	if len(h.Samples) > 0 {
		d.follow(s, h, now)
	}
	bound := min(max(d.Wanted, least), most)
	held := bound == h.Wanted && !d.Look.At.IsZero() && (bound == least && d.Look.Up < least || bound == most && d.Look.Up > most)
	switch {
	case bound == d.Wanted && !held:
	case scheduled:
		d.Wanted, d.Reason, d.Text = bound, BySchedule, fmt.Sprintf("a schedule has it between %d and %d%s", least, most, d.needs())
	default:
		d.Wanted, d.Reason, d.Text = bound, ByBounds, fmt.Sprintf("it is to be between %d and %d%s", least, most, d.needs())
	}
	return d
}

// needs says what was found to be needed, where anything has been seen.
func (d *Decision) needs() string {
	if d.Look.At.IsZero() {
		return ""
	}
	return fmt.Sprintf("; what is asked for needs %d", d.Look.Up)
}

// follow has d want what is needed, as far as windows and steps let it.
func (d *Decision) follow(s *wire.Scale, h *History, now time.Time) {
	last := &h.Samples[len(h.Samples)-1]
	n := needed(s, h)
	d.Look, d.Reason = Look{From: now, At: now, Up: n.up, Down: n.down}, n.reason
	if n.up == 0 {
		d.Reason = ByIdle
	}
	d.Text = describe(d.Reason, h, last, n.up)
	switch up, down := rise(s, h, n, now), fall(s, h, n, now); {
	case up > h.Wanted:
		if step := int(s.GetMaxStep()); step > 0 {
			up = min(up, max(h.Wanted, last.Ready+step))
		}
		d.Wanted = up
	case down < h.Wanted:
		d.Wanted = down
	case n.up > h.Wanted && h.Wanted < d.Max, n.down < h.Wanted && h.Wanted > d.Min:
		d.Reason, d.Text = ByWindow, fmt.Sprintf("%d would do by now; it is to be seen whether that lasts", min(max(n.up, d.Min), d.Max))
	}
	// Those that serve count, whatever their version: a new one that finds no room beside the old is no reason to want fewer.
	if room := max(last.Placed, last.Ready) + 1; last.Squeezed && d.Wanted > room {
		d.Wanted, d.Reason, d.Text = room, ByRoom, "more would have no place"
	}
}

// rise is what is wanted where that is more: at once where requests wait, or else what
// has been needed all through the window.
func rise(s *wire.Scale, h *History, n need, now time.Time) int {
	window := upWindow(s)
	if window == 0 || n.queue {
		return n.up
	}
	if now.Sub(h.Since) < window {
		return h.Wanted
	}
	least := n.up
	for _, l := range h.Looks {
		if now.Sub(l.At) <= window {
			least = min(least, l.Up)
		}
	}
	return least
}

// fall is what is wanted where that is less: the most that was needed in the window, step
// by step.
func fall(s *wire.Scale, h *History, n need, now time.Time) int {
	window := downWindow(s)
	if now.Sub(h.Since) < window || now.Sub(h.Lowered) < window/10 {
		return h.Wanted
	}
	most := n.down
	for _, l := range h.Looks {
		if now.Sub(l.At) <= window {
			most = max(most, l.Down)
		}
	}
	return max(most, h.Wanted-max(int(s.GetMaxStep()), 1))
}

// describe tells people what the reason goes by.
func describe(r Reason, h *History, last *Sample, n int) string {
	switch r {
	case ByIdle:
		return "nothing is asked for"
	case ByQueue:
		return fmt.Sprintf("%d requests wait, the oldest for %v, and %d were refused of late", last.Waiting, last.Oldest.Round(10*time.Millisecond), last.Refused)
	case ByTrend:
		return fmt.Sprintf("more and more is asked for: %d replicas are needed by the time that one has been loaded, which takes %v", n, h.load().Round(100*time.Millisecond))
	case ByTokens:
		return fmt.Sprintf("%.0f tokens/s on %d replicas", last.Tokens, last.Ready)
	}
	return fmt.Sprintf("%d of %d slots are taken, and %d requests wait", last.Running, last.Slots, last.Waiting)
}
