package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/fair"
)

func urgent(p fair.Priority) func(*Query) { return func(q *Query) { q.Priority = p } }

func TestAgeingIsTheSameForGatewaysAndActors(t *testing.T) {
	if fair.Patience != spec.AgedAfter || fair.Every != spec.AgedEvery || fair.Bands != len(spec.Bands{}) {
		t.Error("it is not")
	}
}

// TestAnAgedRequestHoldsUpNobody: while it is the next to be served, instances are told of those of higher priority behind it.
func TestAnAgedRequestHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, told := granting(Config{QueueTimeout: time.Hour})
		f.tell("a", "north", 1, 1, grants)
		var served []Grant
		f.enter(t, ask(urgent(fair.Low)), &served)
		for range 40 {
			f.enter(t, ask(), &served)
		}
		time.Sleep(6 * time.Second)
		low := -1
		for i := range 30 {
			f.tell("a", "north", 1, 1, grants)
			*told = nil
			f.Granted("a", spec.Lease{Instance: "i-a", ID: uint64(i + 1), Load: spec.Load{Slots: 1, Running: 1, Seq: f.seq}})
			if len(served) != i+1 {
				t.Fatalf("%d served", len(served))
			}
			w := served[i].Waits
			if served[i].query.Priority == fair.Low {
				low = i
			}
			if w.Priority != fair.Normal.Band() || w.Count != w.Bands.Sum() || w.Oldest < 6*time.Second || w.Run == 0 {
				t.Fatalf("told %+v", w)
			}
			if want := (spec.Bands{1, uint8(39 - i)}); low < 0 && w.Bands != want {
				t.Fatalf("told %v, want %v", w.Bands, want)
			}
		}
		if low != 15 {
			t.Errorf("the aged one was number %d", low)
		}
	})
}

// TestWhoIsUrgentIsToldOf at once, though no more wait than was told.
func TestWhoIsUrgentIsToldOf(t *testing.T) {
	f, told := granting(Config{})
	f.tell("a", "north", 1, 1, grants)
	var served []Grant
	for range 9 {
		f.enter(t, ask(), &served)
	}
	*told = nil
	f.enter(t, ask(), &served)
	if len(*told) != 0 {
		t.Fatalf("told %+v", *told)
	}
	f.enter(t, ask(urgent(fair.Critical)), &served)
	if len(*told) != 1 || (*told)[0].Priority != fair.Critical.Band() || (*told)[0].Bands != (spec.Bands{0, 10, 0, 1}) {
		t.Fatalf("told %+v", *told)
	}
}

// TestWhatIsCachedDoesNotGoBeforePriority: of the first in the queue a place goes to who has most cached there, in the band of the first alone.
func TestWhatIsCachedDoesNotGoBeforePriority(t *testing.T) {
	f, _ := granting(Config{Random: steady})
	f.tell("a", "north", 1, 1, grants)
	f.holds("a", 1, 11, 12)
	var served []Grant
	for range 3 {
		f.enter(t, ask(begins(11, 12), urgent(fair.Low)), &served)
	}
	f.enter(t, ask(urgent(fair.High)), &served)
	f.enter(t, ask(begins(11, 12), urgent(fair.High)), &served)
	var order []fair.Priority
	for i := range 3 {
		f.Granted("a", spec.Lease{Instance: "i-a", ID: uint64(i + 1), Load: spec.Load{Slots: 1, Running: 1, Seq: f.seq}})
	}
	for _, g := range served {
		order = append(order, g.query.Priority)
	}
	if len(order) != 3 || order[0] != fair.High || order[1] != fair.High || order[2] != fair.Low || served[0].Cached == 0 {
		t.Errorf("served %v, the first with %d tokens cached", order, served[0].Cached)
	}
}
