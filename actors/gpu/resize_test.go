package gpu

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A throng are clients of one instance on virtual time, who ask again as soon as they are answered;
// its engine does bears at a time, and ever less beyond.
type throng struct {
	tab   *table
	in    *inst
	now   time.Time
	last  Lease
	bears int
	held  map[Lease]float64 // work that is left
}

// run has so many requests answered, with as many at a time as the instance takes. It returns the
// seconds that they took.
func (c *throng) run(t *testing.T, requests int) float64 {
	t.Helper()
	begun := c.now
	for requests > 0 {
		for {
			c.last++
			if _, _, r := c.tab.admit(ask(c.last, "a"), c.now); r != nil {
				break
			}
			c.held[c.last] = 1 + 0.1*float64(c.last%7)
		}
		const tick = 50 * time.Millisecond
		c.now = c.now.Add(tick)
		each := tick.Seconds()
		if over := float64(len(c.held)) / float64(c.bears); over > 1 {
			each /= over * over
		}
		for l := range c.held {
			if c.held[l] -= each; c.held[l] <= 0 {
				delete(c.held, l)
				c.tab.release(&Release{Lease: l, Whole: true, PromptTokens: 16, CompletionTokens: 20}, c.now)
				requests--
			}
		}
	}
	return c.now.Sub(begun).Seconds()
}

func newThrong(t *testing.T, options map[string]string) *throng {
	t.Helper()
	tab := newTestTable()
	m := model("a", 1, 1)
	m.Options = options
	in := tab.mustBeReady(t, m, 16)
	return &throng{tab: tab, in: in, now: traceEpoch, bears: 4, held: map[Lease]float64{}}
}

// TestPlacesAreThoseThatTheEngineBears, in the digest and in answers too; where the deployment does not
// ask for that they stay.
func TestPlacesAreThoseThatTheEngineBears(t *testing.T) {
	c := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
	c.run(t, 2000)
	if n := c.tab.slots(c.in); n < 4 || n > 5 {
		t.Errorf("%d places", n)
	}
	d := c.tab.digest(c.in, c.now)
	if int(d.Slots) != c.tab.slots(c.in) || d.Ceiling != 16 || c.tab.loadOf(c.in, c.now).Slots != int(d.Slots) {
		t.Errorf("told: %v", d)
	}
	if len(c.in.resized) == 0 {
		t.Error("no change is told")
	}
	c.bears = 16
	c.run(t, 20_000)
	if n := c.tab.slots(c.in); n < 13 {
		t.Errorf("%d places when it bears all", n)
	}
	fixed := newThrong(t, nil)
	fixed.run(t, 1000)
	if n := fixed.tab.slots(fixed.in); n != 16 || len(fixed.in.resized) != 0 {
		t.Errorf("%d places where they are fixed", n)
	}
}

// TestPlacesOnTheirWayAreTaken: where gateways are so far that a place is empty for longer than it is used,
// more are tried again once there were fewer.
func TestPlacesOnTheirWayAreTaken(t *testing.T) {
	const way, tick = 400 * time.Millisecond, 20 * time.Millisecond
	c := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
	for range 3 { // once something stood inside of it
		c.tab.admit(ask(1000, "a"), c.now)
		c.tab.measure(&instance.Measured{Instance: "a", Run: c.in.run, Load: engine.Load{Known: true, Running: 1, Queued: 9}}, c.now)
	}
	c.tab.release(&Release{Lease: 1000}, c.now)
	low := c.tab.slots(c.in)
	if low >= 16 {
		t.Fatal("it is not lowered")
	}
	coming, ends, seq := map[uint64]time.Time{}, map[Lease]time.Time{}, uint64(0)
	for until := c.now.Add(10 * time.Minute); c.now.Before(until); c.now = c.now.Add(tick) {
		for l, at := range ends {
			if !c.now.Before(at) {
				delete(ends, l)
				c.tab.release(&Release{Lease: l, Whole: true, CompletionTokens: 20}, c.now)
			}
		}
		for id, at := range coming {
			if c.now.Before(at) {
				continue
			}
			delete(coming, id)
			c.last++
			m := ask(c.last, "a")
			m.Kept, m.Waits = id, spec.Reservation{Gateway: "far"}
			if _, _, r := c.tab.admit(m, c.now); r != nil {
				t.Fatal(r)
			}
			ends[c.last] = c.now.Add(time.Duration(220+c.last*83%200) * time.Millisecond)
		}
		seq++
		c.tab.waits(&Waits{Reservation: spec.Reservation{Gateway: "far", Instance: "a", Seq: seq, Count: 50}}, c.now)
		for l, ok := c.tab.next(c.in, c.now); ok; l, ok = c.tab.next(c.in, c.now) {
			coming[l.ID] = c.now.Add(way)
		}
	}
	if n := c.tab.slots(c.in); n != 16 {
		t.Errorf("%d places after %d, of an engine that bears all", n, low)
	}
}

// TestHeatTellsNothing of what an engine bears, and takes its part off the places besides.
func TestHeatTellsNothing(t *testing.T) {
	c := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
	c.tab.sampled, c.tab.reading.Share = true, 0.5
	c.run(t, 2000)
	if n := c.tab.slots(c.in); n != 8 {
		t.Errorf("%d places at half of its work", n)
	}
	c.tab.reading.Share = 0
	if n := c.tab.slots(c.in); n != 16 {
		t.Errorf("%d places after", n)
	}
}

// TestAQueueInsideTakesPlacesAway, whatever becomes of throughput.
func TestAQueueInsideTakesPlacesAway(t *testing.T) {
	c := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
	for i := range 16 {
		c.tab.admit(ask(Lease(i+1), "a"), c.now)
	}
	for range 30 {
		c.now = c.now.Add(time.Second)
		running := min(c.in.leases, 6)
		c.tab.measure(&instance.Measured{Instance: "a", Run: c.in.run, Load: engine.Load{Known: true, Running: running, Queued: c.in.leases - running}}, c.now)
		if c.in.leases > c.tab.slots(c.in) {
			c.tab.release(&Release{Lease: Lease(c.in.leases)}, c.now)
		}
	}
	if n := c.tab.slots(c.in); n < 6 || n > 7 {
		t.Errorf("%d places in an engine that works on six", n)
	}
	if _, _, r := c.tab.admit(ask(99, "a"), c.now); r == nil || r.Reason != spec.RejectBusy {
		t.Errorf("one more: %+v", r)
	}
	if c.in.state != wire.InstanceState_INSTANCE_STATE_READY {
		t.Error(c.in.state)
	}
}

// TestAnEngineThatRanOutOfMemoryGetsFewer when it serves again, and it is told why; one that ended otherwise
// gets as many.
func TestAnEngineThatRanOutOfMemoryGetsFewer(t *testing.T) {
	for _, c := range []struct {
		reason string
		fewer  bool
	}{
		{"exit status 1: the device has too little free memory (torch.OutOfMemoryError: ...)", true},
		{"signal: killed", false},
	} {
		g := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
		e := g.in.engine
		for i := range 10 {
			g.tab.admit(ask(Lease(i+1), "a"), g.now)
		}
		g.tab.measure(&instance.Measured{Instance: "a", Run: g.in.run}, g.now)
		for i := range 10 { // they end with it, and the actor may hear of that first
			g.tab.release(&Release{Lease: Lease(i + 1)}, g.now)
		}
		g.tab.change(&instance.Changed{Instance: "a", Run: g.in.run, State: wire.InstanceState_INSTANCE_STATE_RESTARTING, Reason: c.reason}, g.now)
		g.tab.change(&instance.Changed{Instance: "a", Run: g.in.run, State: wire.InstanceState_INSTANCE_STATE_READY, Engine: e}, g.now)
		n, why := g.tab.slots(g.in), g.tab.digest(g.in, g.now).SlotsReason
		if (n < 10) != c.fewer || (why == wire.SlotsReason_SLOTS_REASON_MEMORY) != c.fewer {
			t.Errorf("%s: %d places, %v", c.reason, n, why)
		}
	}
}

// TestAnswersUnderWayTakePlacesAway, long before they end: by the engine's own count of its tokens, else by the pieces
// of those that come piece by piece.
func TestAnswersUnderWayTakePlacesAway(t *testing.T) {
	for _, c := range []struct {
		name             string
		streamed, counts bool
		fewer            bool
	}{{"streamed", true, false, true}, {"counted by the engine", false, true, true}, {"neither", false, false, false}} {
		g := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
		written := 1.0
		serve := func(seconds int) {
			for range seconds {
				g.now = g.now.Add(time.Second)
				each := 30.0
				if over := float64(g.in.leases) / float64(g.bears); over > 1 {
					each /= over * over * over
				}
				written += each * float64(g.in.leases)
				m := &instance.Measured{Instance: "a", Run: g.in.run}
				if c.streamed {
					m.Pieces = uint64(written)
				}
				if c.counts {
					m.Load.Written = uint64(written)
				}
				g.tab.measure(m, g.now)
			}
		}
		take := func(n int) {
			for range n {
				g.last++
				m := ask(g.last, "a")
				m.Streamed = c.streamed
				if _, _, r := g.tab.admit(m, g.now); r != nil {
					t.Fatal(r)
				}
			}
		}
		serve(1)
		take(4)
		serve(60)
		for i := range 4 { // so that it is known how long they take
			g.tab.release(&Release{Lease: Lease(i + 1), Whole: true, CompletionTokens: 1800, Pieces: 1800}, g.now)
		}
		take(4)
		serve(240)
		take(8)
		serve(60)
		if n := g.tab.slots(g.in); (n < 8) != c.fewer {
			t.Errorf("%s: %d places of an engine that bears four, with twelve", c.name, n)
		}
		for i := range g.last {
			g.tab.release(&Release{Lease: i + 1}, g.now)
		}
		if g.in.leases != 0 || g.in.streams != 0 {
			t.Errorf("%s: %d are left, %d of them streamed", c.name, g.in.leases, g.in.streams)
		}
	}
}

// TestAnEngineThatRefusesForMemoryGetsFewer, once for all that it refuses together.
func TestAnEngineThatRefusesForMemoryGetsFewer(t *testing.T) {
	g := newThrong(t, map[string]string{spec.AdaptiveSlots: "on"})
	for i := range 12 {
		g.tab.admit(ask(Lease(i+1), "a"), g.now)
	}
	g.now = g.now.Add(time.Second)
	g.tab.release(&Release{Lease: 1, RanOut: true}, g.now)
	n := g.tab.slots(g.in)
	if n >= 12 || n < 6 || g.tab.digest(g.in, g.now).SlotsReason != wire.SlotsReason_SLOTS_REASON_MEMORY {
		t.Fatalf("%d places after twelve were too many, %v", n, g.tab.digest(g.in, g.now).SlotsReason)
	}
	for i := range 3 {
		g.tab.release(&Release{Lease: Lease(i + 2), RanOut: true}, g.now.Add(time.Duration(i)*time.Second))
	}
	if m := g.tab.slots(g.in); m != n {
		t.Errorf("%d places after %d, though those that were refused had come before", m, n)
	}
}
