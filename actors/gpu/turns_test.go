package gpu

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	tick       = 500 * time.Millisecond
	crowdSlots = 4
)

// A crowd is a device of 1,000 bytes and clients who want more than fits on it, all
// the time. They wait at a gateway, which asks for a model only while it is told
// that it is cold.
type crowd struct {
	t      *rapid.T
	table  *table
	now    time.Time
	lease  Lease
	models []*wanted
	loads  int
	slow   time.Duration // the longest answer, load and unload together
}

// A wanted model has clients who each ask again a while after they were answered.
type wanted struct {
	id                    string
	load, unload, service time.Duration
	pause                 time.Duration // of a client
	clients               []time.Time   // since when each waits; zero: it is answered, or pauses
	asked                 time.Time
	serves                time.Time // since when
	at                    map[time.Time][]func()
}

func drawCrowd(t *rapid.T) *crowd {
	c := &crowd{t: t, now: time.Unix(1_700_000_000, 0),
		table: newTable(device.Device{ID: "gpu/1", Kind: device.KindSimulated, MemoryTotal: 1000})}
	seconds := func(label string, least, most int) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * time.Second
	}
	always := rapid.Uint64Range(0, 400).Draw(t, "always")
	c.table.change(changedTo(c.add("always", always, false), isReady, stub{slots: 1}), c.now)
	for i := range rapid.IntRange(2, 6).Draw(t, "models") {
		w := &wanted{id: fmt.Sprint("m", i), load: seconds("load", 1, 30), unload: seconds("unload", 1, 3), at: map[time.Time][]func(){},
			service: time.Duration(rapid.SampledFrom([]int{1, 7, 50, 230}).Draw(t, "service")) * time.Second, pause: seconds("pause", 0, 20)}
		c.add(w.id, (1000-always)*rapid.SampledFrom([]uint64{30, 55, 100}).Draw(t, "share")/100, true)
		w.clients = make([]time.Time, rapid.IntRange(1, crowdSlots).Draw(t, "clients"))
		for i := range w.clients {
			w.clients[i] = c.now
		}
		c.models = append(c.models, w)
		c.slow = max(c.slow, w.service+w.load+w.unload)
	}
	return c
}

func (c *crowd) add(id string, bytes uint64, onDemand bool) *inst {
	m := model(id, 1, bytes)
	m.OnDemand = onDemand
	if _, err := c.table.add(m, fine); err != nil {
		c.t.Fatal(err)
	}
	return c.table.instances[spec.InstanceID(id)]
}

func (c *crowd) inst(w *wanted) *inst { return c.table.instances[spec.InstanceID(w.id)] }

// step is one tick: what has ended, who asks, and what the device does about it.
func (c *crowd) step() {
	c.now = c.now.Add(tick)
	for _, w := range c.models {
		for _, do := range w.at[c.now] {
			do()
		}
		delete(w.at, c.now)
		c.ask(w)
	}
	start, stop := c.table.arrange(c.now)
	for _, v := range stop {
		c.evicted(v)
	}
	for _, in := range start {
		w := c.of(in)
		c.loads++
		w.later(c, w.load, func() {
			c.table.change(changedTo(in, isReady, stub{slots: crowdSlots}), c.now)
			w.serves = c.now
		})
	}
	if all, _ := c.table.reserved(); all > 1000 {
		c.t.Fatalf("%d bytes of 1000 are reserved", all)
	}
}

func (w *wanted) later(c *crowd, in time.Duration, do func()) {
	w.at[c.now.Add(in)] = append(w.at[c.now.Add(in)], do)
}

func (c *crowd) of(in *inst) *wanted {
	for _, w := range c.models {
		if w.id == string(in.id) {
			return w
		}
	}
	c.t.Fatalf("%s was started or stopped", in.id)
	return nil
}

func (c *crowd) evicted(v evicted) {
	w := c.of(v.inst)
	if v.inst.leases > 0 {
		c.t.Fatalf("%s was unloaded with %d requests", w.id, v.inst.leases)
	}
	if served := c.now.Sub(w.serves); served < memory.DefaultPolicy.MinResidency {
		c.t.Fatalf("%s was unloaded after it had served for %v", w.id, served)
	}
	w.later(c, w.unload, func() { c.table.ended(v.inst) })
}

// ask has the model's waiting clients ask, where a gateway would.
func (c *crowd) ask(w *wanted) {
	for i, since := range w.clients {
		state := c.inst(w).state
		if since.IsZero() || state == loading || state == cold && c.now.Sub(w.asked) < 2*time.Second {
			continue
		}
		c.lease++
		lease := c.lease
		_, _, r := c.table.admit(ask(lease, w.id), c.now)
		switch {
		case r == nil:
			w.clients[i] = time.Time{}
			w.later(c, w.service, func() { c.table.release(&Release{Lease: lease}, c.now) })
			w.later(c, w.service+w.pause, func() { w.clients[i] = c.now })
		case r.Reason == spec.RejectLoading:
			w.asked = c.now
		case r.Reason != spec.RejectBusy:
			c.t.Fatalf("%s rejects as %s", w.id, r.Reason)
		}
	}
}

// TestNobodyStarves: whatever they are and however busy, models that share a device
// never take more memory than there is, are never unloaded under their requests or
// before they have served for their least time, and nobody waits for longer than it
// takes to let each of the others have its turn.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCrowd(t)
		turn := c.slow + memory.DefaultPolicy.MinResidency + 2*tick
		most := patience + time.Duration(len(c.models))*turn
		const length = 30 * time.Minute
		for end := c.now.Add(length); c.now.Before(end); {
			c.step()
			for _, w := range c.models {
				for _, since := range w.clients {
					if !since.IsZero() && c.now.Sub(since) > most {
						t.Fatalf("a request to %s (%s) has waited for %v; %d models, a turn takes %v at most", w.id, c.inst(w).state, c.now.Sub(since), len(c.models), turn)
					}
				}
			}
		}
		if most := len(c.models) * (1 + int(length/memory.DefaultPolicy.MinResidency)); c.loads > most {
			t.Fatalf("%d loads in %v", c.loads, length)
		}
	})
}

// TestNobodyWaitsBehindTheHopeless: one for which there would be no room if all
// went does not hold up those behind it, and fails after a while, so that it is
// placed elsewhere.
func TestNobodyWaitsBehindTheHopeless(t *testing.T) {
	s := newShelf(t)
	s.place("big", 900)
	s.place("a", 400)
	s.reading, s.sampled = device.Reading{MemoryFree: 500, Health: device.Healthy}, true // another program has the rest
	s.ask("big")
	s.ask("a")
	started, _ := s.turn()
	want(t, "started", started, "a")
	s.reading.MemoryFree = 100
	big := s.instances["big"]
	if big.state != loading || big.reason == "" {
		t.Fatalf("big is %s: %q", big.state, big.reason)
	}
	s.now = s.now.Add(hopeless)
	if started, stopped := s.turn(); len(started)+len(stopped) != 0 || big.state != failed || big.holds() {
		t.Fatalf("started %v, stopped %v; big is %s", started, stopped, big.state)
	}
	if r := s.ask("big"); r == nil || r.Reason != spec.RejectUnhealthy {
		t.Errorf("big answers %+v", r)
	}
	if do, err := s.remove(&wire.UnloadModel{Instance: "big", Epoch: 1}); err != nil || do.stop != nil || s.instances["big"] != nil {
		t.Errorf("%+v, %v", do, err)
	}
}

// TestATurnOutlivesALapse: gateways do not ask again for what they are told is
// loading. Told that it is cold, they do, and it keeps its turn and what was begun for it.
func TestATurnOutlivesALapse(t *testing.T) {
	s := newShelf(t)
	s.place("a", 700)
	s.place("b", 700)
	s.serve("a")
	s.now = s.now.Add(time.Minute)
	s.ask("a")
	long := s.lease
	s.ask("b")
	since := s.instances["b"].wanted
	s.now = s.now.Add(patience)
	s.turn()
	s.now = s.now.Add(demandLasts - patience + time.Second)
	s.turn()
	if b := s.instances["b"]; b.state != cold || s.digest(b, traceEpoch).Phase != "" {
		t.Fatalf("b is %s in phase %q: nobody would ask again", b.state, s.digest(b, traceEpoch).Phase)
	}
	if r := s.ask("a"); r == nil || r.Reason != spec.RejectBusy {
		t.Fatalf("a admits again: %+v", r)
	}
	s.ask("b")
	s.turn()
	if b := s.instances["b"]; b.state != loading || !b.wanted.Equal(since) {
		t.Fatalf("b is %s, wanted for %v", b.state, s.now.Sub(b.wanted))
	}
	s.release(&Release{Lease: long}, s.now)
	started, stopped := s.turn()
	want(t, "stopped", stopped, "a")
	want(t, "started", started, "b")
}

// TestWhatNobodyAsksForIsNotLoaded: who waited has left.
func TestWhatNobodyAsksForIsNotLoaded(t *testing.T) {
	s := newShelf(t)
	s.place("a", 700)
	s.place("b", 700)
	s.serve("a")
	s.ask("a")
	s.ask("b")
	s.now = s.now.Add(demandLasts + lapse + time.Second)
	s.turn()
	if b := s.instances["b"]; b.state != cold || b.waiting {
		t.Fatalf("b is %s", b.state)
	}
	if r := s.ask("a"); r != nil {
		t.Errorf("a lets its requests run out for nobody: %v", r.Reason)
	}
}

// TestADrainingDeviceLoadsNothingOnDemand: nobody could ask it anything.
func TestADrainingDeviceLoadsNothingOnDemand(t *testing.T) {
	s := newShelf(t)
	in := s.place("a", 700)
	s.ask("a")
	s.draining = true
	if started, _ := s.turn(); len(started) != 0 || in.state != cold || in.waiting {
		t.Fatalf("started %v; it is %s", started, in.state)
	}
}
