package gpu

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A shelf is a table of 1,000 bytes with a clock and the actors that it asks for.
type shelf struct {
	*table
	t     *testing.T
	now   time.Time
	lease Lease
}

func newShelf(t *testing.T) *shelf {
	return &shelf{table: newTestTable(), t: t, now: time.Unix(1_700_000_000, 0)}
}

// place adds an instance that is loaded on demand.
func (s *shelf) place(id string, bytes uint64) *inst {
	s.t.Helper()
	m := model(id, 1, bytes)
	m.OnDemand = true
	return s.mustAdd(s.t, m)
}

func (s *shelf) ask(id string) *spec.Rejection {
	s.lease++
	_, _, r := s.admit(ask(s.lease, id), s.now)
	return r
}

// turn arranges: what is to start serves two seconds later, what is to stop is gone at once.
func (s *shelf) turn() (started, stopped []string) {
	for again := true; again; {
		start, stop := s.arrange(s.now)
		again = len(stop) > 0
		for _, in := range start {
			started = append(started, string(in.id))
		}
		for _, v := range stop {
			stopped = append(stopped, string(v.inst.id))
			s.ended(v.inst)
		}
	}
	for _, id := range started {
		in := s.instances[spec.InstanceID(id)]
		s.now = s.now.Add(2 * time.Second)
		if in.change(s); in.state != isReady {
			s.t.Fatalf("%s is %s", id, in.state)
		}
	}
	return started, stopped
}

func (in *inst) change(s *shelf) {
	s.table.change(changedTo(in, isReady, stub{slots: 2}), s.now)
}

func (s *shelf) serve(id string) {
	s.t.Helper()
	if r := s.ask(id); r == nil || r.Reason != spec.RejectLoading {
		s.t.Fatalf("the first request to %s is answered %v", id, r)
	}
	s.turn()
	if r := s.ask(id); r != nil {
		s.t.Fatalf("%s was loaded and rejects: %v", id, r.Reason)
	}
	s.release(&Release{Lease: s.lease}, s.now)
}

func want(t *testing.T, what string, got []string, ids ...string) {
	t.Helper()
	if len(got) != len(ids) {
		t.Fatalf("%s: %v, want %v", what, got, ids)
	}
	for i := range ids {
		if got[i] != ids[i] {
			t.Fatalf("%s: %v, want %v", what, got, ids)
		}
	}
}

// TestManyRequestsMakeOneLoad: the first has the model loaded, the others wait for it.
func TestManyRequestsMakeOneLoad(t *testing.T) {
	s := newShelf(t)
	in := s.place("a", 600)
	if in.state != cold || s.free() != 1000 {
		t.Fatalf("placed, it is %s and %d bytes are free", in.state, s.free())
	}
	for range 5 {
		if r := s.ask("a"); r == nil || r.Reason != spec.RejectLoading || r.RetryAfter <= 0 {
			t.Fatalf("%+v", r)
		}
	}
	start, stop := s.arrange(s.now)
	if len(start) != 1 || len(stop) != 0 || in.state != loading || s.free() != 400 {
		t.Fatalf("starts %v, stops %v; it is %s", start, stop, in.state)
	}
	if start, _ := s.arrange(s.now); len(start) != 0 || s.ask("a").Reason != spec.RejectLoading {
		t.Fatal("it was started twice")
	}
	s.now = s.now.Add(3 * time.Second)
	in.change(s)
	if r := s.ask("a"); r != nil || in.loadSeconds != 3 {
		t.Fatalf("%+v, load took %g s", r, in.loadSeconds)
	}
}

// TestLoadedAhead of any request, where that takes nobody's memory.
func TestLoadedAhead(t *testing.T) {
	s := newShelf(t)
	a, b, c := s.place("a", 600), s.place("b", 600), s.place("c", 300)
	s.ahead(a, s.now)
	s.ahead(b, s.now) // a waits for what b would take
	if a.state != loading || b.state != cold {
		t.Fatalf("a is %s, b is %s", a.state, b.state)
	}
	start, stop := s.turn()
	want(t, "started", start, "a")
	want(t, "stopped", stop)
	s.ahead(a, s.now)
	s.ahead(b, s.now)
	s.ahead(c, s.now)
	start, stop = s.turn()
	want(t, "started where there is room", start, "c")
	want(t, "stopped", stop)
	if b.state != cold || b.waiting {
		t.Fatalf("b is %s", b.state)
	}
	s.ask("b") // what nobody has asked for goes for what somebody does
	s.now = s.now.Add(time.Minute)
	start, _ = s.turn()
	want(t, "started for a request", start, "b")
}

// TestTheLeastMissedGoes: what is used least goes first, and nothing goes in vain.
func TestTheLeastMissedGoes(t *testing.T) {
	s := newShelf(t)
	for _, id := range []string{"a", "b", "c"} {
		s.place(id, 400)
	}
	s.serve("a")
	s.now = s.now.Add(time.Minute)
	s.serve("b")
	s.now = s.now.Add(time.Minute)
	for range 3 {
		if r := s.ask("a"); r != nil {
			t.Fatal(r.Reason)
		}
		s.release(&Release{Lease: s.lease}, s.now)
	}
	s.ask("c")
	started, stopped := s.turn()
	want(t, "stopped", stopped, "b")
	want(t, "started", started, "c")
	if s.instances["b"].state != cold || s.instances["a"].state != isReady {
		t.Errorf("b is %s and a is %s", s.instances["b"].state, s.instances["a"].state)
	}
}

func TestNothingGoesInVain(t *testing.T) {
	s := newShelf(t)
	s.mustBeReady(t, model("always", 1, 300), 2)
	s.place("a", 400)
	s.place("b", 300)
	s.serve("a")
	s.serve("b")
	s.now = s.now.Add(time.Hour - 51*time.Minute)
	m := model("big", 1, 701)
	m.OnDemand = true
	_, err := s.add(m, fine)
	wantCode(t, err, spec.CodeOutOfMemory)
	s.place("c", 700)
	s.ask("b") // has a lease now
	s.ask("c")
	started, stopped := s.turn()
	want(t, "started", started)
	want(t, "stopped", stopped)
	if in := s.instances["c"]; s.digest(in, traceEpoch).Phase != phaseMemory || in.reason == "" {
		t.Errorf("c is in phase %q: %s", s.digest(in, traceEpoch).Phase, in.reason)
	}
}

// TestEachHasItsTurn: two that are always busy and do not fit side by side take turns.
func TestEachHasItsTurn(t *testing.T) {
	s := newShelf(t)
	s.place("a", 700)
	s.place("b", 700)
	s.serve("a")
	s.now = s.now.Add(time.Minute)
	s.ask("a")
	busy := s.lease
	s.ask("b")
	if _, stopped := s.turn(); len(stopped) != 0 {
		t.Fatalf("%v was stopped under its requests", stopped)
	}
	if r := s.ask("a"); r != nil {
		t.Fatalf("a rejects at once: %v", r.Reason)
	}
	second := s.lease
	s.now = s.now.Add(patience)
	s.turn()
	if r := s.ask("a"); r == nil || r.Reason != spec.RejectBusy {
		t.Fatalf("after b has waited for long, a answers %+v", r)
	}
	s.release(&Release{Lease: busy}, s.now)
	if _, stopped := s.turn(); len(stopped) != 0 {
		t.Fatalf("%v was stopped with a request left", stopped)
	}
	s.release(&Release{Lease: second}, s.now)
	started, stopped := s.turn()
	want(t, "stopped", stopped, "a")
	want(t, "started", started, "b")
}

// TestAYoungOneStays until it has served for its least time.
func TestAYoungOneStays(t *testing.T) {
	s := newShelf(t)
	s.place("a", 700)
	s.instances["a"].load.MinResidentMs = 5000
	s.place("b", 700)
	s.serve("a")
	s.now = s.now.Add(4 * time.Second)
	s.ask("b")
	if _, stopped := s.turn(); len(stopped) != 0 {
		t.Fatal("it went after 4 of 5 seconds")
	}
	s.now = s.now.Add(time.Second)
	_, stopped := s.turn()
	want(t, "stopped", stopped, "a")
}

func TestIdleOnesGo(t *testing.T) {
	s := newShelf(t)
	s.place("a", 300)
	s.place("ever", 300).load.KeepAliveMs = -1
	s.place("short", 300).load.KeepAliveMs = 1000
	for _, id := range []string{"a", "ever", "short"} {
		s.serve(id)
	}
	s.ask("short")
	s.now = s.now.Add(2 * time.Second)
	if _, stopped := s.turn(); len(stopped) != 0 {
		t.Fatalf("%v went with a request", stopped)
	}
	s.release(&Release{Lease: s.lease}, s.now)
	s.now = s.now.Add(time.Second)
	_, stopped := s.turn()
	want(t, "stopped", stopped, "short")
	s.now = s.now.Add(defaultKeepAlive)
	_, stopped = s.turn()
	want(t, "stopped later", stopped, "a")
	s.serve("a")
}

// TestTheAlwaysLoadedComesFirst: it takes the memory of others as soon as their requests have ended.
func TestTheAlwaysLoadedComesFirst(t *testing.T) {
	s := newShelf(t)
	s.place("a", 700)
	s.serve("a")
	s.ask("a")
	do, err := s.add(model("always", 2, 800), fine)
	if err != nil || do.start != nil {
		t.Fatalf("%+v, %v", do, err)
	}
	s.turn()
	if r := s.ask("a"); r == nil || r.Reason != spec.RejectBusy {
		t.Fatalf("a answers %+v", r)
	}
	s.release(&Release{Lease: 3}, s.now)
	started, stopped := s.turn()
	want(t, "stopped", stopped, "a")
	want(t, "started", started, "always")
	if r := s.ask("a"); r == nil || r.Reason != spec.RejectLoading {
		t.Fatalf("a answers %+v", r)
	}
	if s.turn(); s.instances["a"].state != loading {
		t.Errorf("a is %s", s.instances["a"].state)
	}
}

// TestUnloadInEveryState: an UnloadModel ends an instance that is cold, going to sleep, or wanted again.
func TestUnloadInEveryState(t *testing.T) {
	for _, state := range []string{"cold", "sleeping", "wanted again", "waiting"} {
		t.Run(state, func(t *testing.T) {
			s := newShelf(t)
			in := s.place("a", 700)
			if state != "cold" && state != "waiting" {
				s.serve("a")
				s.now = s.now.Add(time.Hour)
				if _, stop := s.arrange(s.now); len(stop) != 1 || s.free() != 300 {
					t.Fatalf("stops %v, %d free", stop, s.free())
				}
			}
			if state == "wanted again" || state == "waiting" {
				s.ask("a")
			}
			do, err := s.remove(&wire.UnloadModel{Instance: "a", Epoch: 1, Drain: true})
			if err != nil || do.stop != nil {
				t.Fatalf("%+v, %v: its actor has been told, or there is none", do, err)
			}
			s.ended(in)
			if start, stop := s.arrange(s.now); len(start)+len(stop) != 0 || len(s.instances) != 0 || s.free() != 1000 {
				t.Errorf("starts %v, stops %v, %d bytes free of %v", start, stop, s.free(), s.instances)
			}
			if i := s.snapshot(traceEpoch).Instances; len(i) != 1 || i[0].State != gone {
				t.Errorf("told %v", i)
			}
		})
	}
}

// TestDigestsTellWhoWouldGo: from a digest alone, memory.Evict chooses those that the
// device itself would unload.
func TestDigestsTellWhoWouldGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		tab := newTestTable()
		for i := range rapid.IntRange(1, 8).Draw(t, "instances") {
			m := model(fmt.Sprint("i", i), 1, rapid.Uint64Range(1, 120).Draw(t, "bytes"))
			m.OnDemand = rapid.IntRange(0, 3).Draw(t, "placed") > 0
			m.MinResidentMs = int64(rapid.SampledFrom([]int{0, 0, 1000, 60_000}).Draw(t, "least"))
			if _, err := tab.add(m, fine); err != nil {
				t.Fatal(err)
			}
			in, ago := tab.instances[spec.InstanceID(m.Instance)], func(label string) time.Time {
				return now.Add(-time.Duration(rapid.IntRange(1, 600).Draw(t, label)) * time.Second)
			}
			in.state, in.readyAt, in.usedAt = isReady, ago("ready"), ago("used")
			in.loadSeconds = float64(rapid.IntRange(0, 20).Draw(t, "load"))
			in.leases = max(0, rapid.IntRange(-3, 2).Draw(t, "leases"))
			for range rapid.IntRange(0, 5).Draw(t, "asked") {
				in.demand.Note(now)
			}
		}
		young := rapid.Bool().Draw(t, "young")
		var told []memory.Candidate
		for _, i := range tab.snapshot(now).Instances {
			load := tab.instances[spec.InstanceID(i.Instance)].load
			told = append(told, memory.Told(i, now, load.OnDemand, time.Duration(load.MinResidentMs)*time.Millisecond, young))
		}
		need := rapid.Uint64Range(1, 300).Draw(t, "need")
		want, refused := memory.Evict(tab.candidates(now, false, young), need, now, memory.DefaultPolicy)
		got, alike := memory.Evict(told, need, now, memory.DefaultPolicy)
		if (refused == nil) != (alike == nil) || len(got) != len(want) {
			t.Fatalf("the digest says %v, %v; the device %v, %v", got, alike, want, refused)
		}
		for i := range want {
			if got[i].ID != want[i].ID {
				t.Fatalf("the digest says %v, the device %v", got, want)
			}
		}
	})
}
