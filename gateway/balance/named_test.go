package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// asksFor is a request whose answer may be kept.
func asksFor(n uint64) *Query { return ask(func(q *Query) { q.Kept = n }) }

func (f *field) named(t interface{ Fatal(...any) }, q *Query) (Grant, bool) {
	g, may, ok := f.Named(q)
	if !ok {
		t.Fatal("nobody is named")
	}
	return g, may
}

// counted is what the table counts on the instances: requests, and those since it heard.
func (f *field) counted() (own, since int) {
	for _, in := range f.mu.instances {
		own, since = own+in.own, since+in.since
	}
	return own, since
}

// TestAllNameTheSame: whatever each has heard of the instances' loads, and of no others once one goes.
func TestAllNameTheSame(t *testing.T) {
	nodes := []string{"a", "b", "c", "d", "e"}
	one, other := newField(Config{}), newField(Config{})
	for i, n := range nodes {
		one.tell(n, "north", 4, 0)
		other.tell(nodes[len(nodes)-1-i], "north", 4, uint32(i))
	}
	where, by := map[uint64]spec.NodeID{}, map[spec.NodeID]int{}
	for n := range uint64(500) {
		g, _ := one.named(t, asksFor(n+1))
		h, _ := other.named(t, asksFor(n+1))
		if g.Node != h.Node {
			t.Fatalf("%d is kept at %s and at %s", n, g.Node, h.Node)
		}
		where[n] = g.Node
		by[g.Node]++
		g.Free()
		h.Free()
	}
	for _, n := range nodes {
		if by[spec.NodeID(n)] < 50 {
			t.Errorf("of 500 %v", by)
		}
	}
	one.NodeGone("c")
	for n := range uint64(500) {
		g, _ := one.named(t, asksFor(n+1))
		if where[n] != "c" && where[n] != g.Node || g.Node == "c" {
			t.Fatalf("%d was kept at %s, and is at %s", n, where[n], g.Node)
		}
		g.Free()
	}
	if _, _, ok := one.Named(ask()); ok {
		t.Error("one that keeps nothing has a place for it")
	}
}

// TestItsActorSaysWhetherThereIsRoom: what is known of the instance may be of a while ago,
// so that it is asked to make the answer though it seems to be full, or is not heard of,
// but by nobody who would overtake others.
func TestItsActorSaysWhetherThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{})
		f.tell("a", "north", 1, 1) // which is over by now
		g, may := f.named(t, asksFor(1))
		if !may {
			t.Fatal("it may not be made where it is kept")
		}
		if own, since := f.counted(); own != 0 || since != 0 {
			t.Errorf("%d, %d are counted of one that may have no place", own, since)
		}
		g.Made()
		if own, _ := f.counted(); own != 1 {
			t.Errorf("%d are counted of one that has its place", own)
		}
		g.Release()
		time.Sleep(time.Minute)
		if g, may = f.named(t, asksFor(1)); !may {
			t.Error("it may not be made where nothing was heard of for long")
		}
		g.Free()
		f.tell("a", "north", 1, 1)
		var served []Grant
		if _, waits := f.enter(t, ask(), &served); !waits {
			t.Fatal("a place where there is none")
		}
		if g, may = f.named(t, asksFor(1)); may {
			t.Error("it would overtake one that waits")
		}
		g.Unkept(&spec.Rejection{Reason: spec.RejectBusy, Load: &spec.Load{Slots: 1, Running: 0, Seq: f.seq}})
		if len(served) != 1 {
			t.Error("the refusal's load is not taken in")
		}
	})
}

// TestWhoAsksMeanwhileTakesNoPlace: the first that makes an answer counts, the others do not,
// until one of them turns out to make it.
func TestWhoAsksMeanwhileTakesNoPlace(t *testing.T) {
	f := newField(Config{})
	f.tell("a", "north", 2, 0)
	first, _ := f.named(t, asksFor(1))
	second, may := f.named(t, asksFor(1))
	third, _ := f.named(t, asksFor(1))
	if own, _ := f.counted(); own != 1 || !may {
		t.Errorf("%d are counted of three who ask the same", own)
	}
	second.Free()
	first.Failed()
	if own, since := f.counted(); own != 0 || since != 0 || len(f.mu.making) != 0 {
		t.Errorf("%d, %d are counted and %d answers made, of one that asks", own, since, len(f.mu.making))
	}
	third.Made()
	third.Made()
	if own, _ := f.counted(); own != 1 {
		t.Errorf("%d are counted of one that makes it", own)
	}
	if d := f.Demands(); len(d) != 1 || d[0].GetArrived() != 1 {
		t.Errorf("demand %v", d)
	}
	third.Release()
}

// TestAHitTellsNothingOfTheEngine: nor does it decide whether others may follow one that failed.
func TestAHitTellsNothingOfTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{})
		f.tell("a", "north", 9, 0)
		for range failuresInRow {
			g, _ := f.named(t, asksFor(1))
			g.Failed()
			f.tell("a", "north", 9, 0)
		}
		if _, _, ok := f.Named(asksFor(1)); ok || f.Views()[0].Breaker != BreakerOpen {
			t.Fatal("it is named with its breaker open")
		}
		time.Sleep(leastPause)
		f.tell("a", "north", 9, 0)
		g, _ := f.named(t, asksFor(1))
		g.Free()
		if b := f.Views()[0].Breaker; b != BreakerHalfOpen {
			t.Errorf("after a hit the breaker is %v", b)
		}
		g, _ = f.named(t, asksFor(1))
		g.Made()
		g.Answered()
		g.Release()
		if b := f.Views()[0].Breaker; b != BreakerClosed {
			t.Errorf("after an answer the breaker is %v", b)
		}
	})
}

// TestNamedGivesAllBack draws what becomes of those who ask.
func TestNamedGivesAllBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newField(Config{})
		tell := func() {
			for _, n := range []string{"a", "b"} {
				f.tell(n, "north", 2, uint32(rapid.IntRange(0, 2).Draw(t, "running")))
			}
		}
		tell()
		var held []*Grant
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if what := rapid.IntRange(0, 9).Draw(t, "what"); what < 4 || len(held) == 0 {
				if g, _, ok := f.Named(asksFor(rapid.Uint64Range(1, 3).Draw(t, "answer"))); ok {
					held = append(held, &g)
				}
				tell()
				continue
			}
			i := rapid.IntRange(0, len(held)-1).Draw(t, "of")
			g := held[i]
			switch rapid.IntRange(0, 6).Draw(t, "ends") {
			case 0:
				g.Free()
			case 1:
				g.Unkept(&spec.Rejection{Reason: spec.RejectBusy})
			case 2:
				g.Failed()
				tell()
			case 3:
				g.Rejected(&spec.Rejection{Reason: spec.RejectDraining})
				tell()
			case 4:
				g.Made()
				continue
			default:
				g.Made()
				g.Release()
			}
			g.Release()
			held = append(held[:i], held[i+1:]...)
			own := 0
			for _, g := range held {
				if !g.ghost {
					own++
				}
			}
			if counted, _ := f.counted(); counted != own {
				t.Fatalf("%d are counted of %d", counted, own)
			}
		}
		for _, g := range held {
			g.Release()
		}
		if own, _ := f.counted(); own != 0 || len(f.mu.making) != 0 {
			t.Fatalf("%d are counted and %d answers made, of none", own, len(f.mu.making))
		}
		for _, in := range f.mu.instances {
			if in.breaker.probing {
				t.Fatal("somebody is to decide who is there no more")
			}
		}
	})
}
