package scale

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

var epoch = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// a rig looks at one deployment once a second.
type rig struct {
	d    *wire.Deployment
	c    *Controller
	now  int
	load time.Duration
}

func newRig(s *wire.Scale, replicas uint32) *rig {
	return &rig{d: &wire.Deployment{Name: "m", Replicas: replicas, Scale: s}, c: NewController(), load: 20 * time.Second}
}

// look tells the controller what there is, with n replicas of four slots that serve.
func (r *rig) look(n, running int, demand Demand) Decision {
	r.now++
	d, _ := r.c.Look(r.d, Sample{At: at(r.now), Placed: n, Ready: n, Slots: 4 * n, Running: running, Load: r.load, Demand: demand}, Began(r.d, n, at(r.now)))
	return d
}

// steady is the demand of a deployment whose requests start at once, so many a second.
func steady(perSecond int) Demand {
	d := Demand{Window: 10 * time.Second, Arrived: 10 * perSecond}
	d.Waits[0] = uint32(d.Arrived)
	return d
}

func TestMoreByQueueAtOnce(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 5, UpWindowMs: 60_000}, 1)
	r.look(1, 2, steady(1))
	queued := steady(1)
	queued.Waiting, queued.Oldest = 3, 600*time.Millisecond
	d := r.look(1, 4, queued)
	if d.Wanted < 2 || d.Reason != ByQueue && d.Reason != BySlots {
		t.Errorf("%+v", d)
	}
	if again := r.look(1, 4, queued); again.Wanted != d.Wanted {
		t.Errorf("while one is being loaded, %d are wanted after %d", again.Wanted, d.Wanted)
	}
}

func TestMoreBySlotsAfterItsWindow(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 5, UpWindowMs: 10_000}, 1)
	for range 10 {
		if d := r.look(1, 4, steady(1)); d.Wanted != 1 {
			t.Fatalf("after %d s: %+v", r.now, d)
		}
	}
	for range 12 {
		r.look(1, 4, steady(1))
	}
	if d := r.look(1, 4, steady(1)); d.Wanted != 2 {
		t.Errorf("%+v", d)
	}
}

// TestFewerAfterTheWholeWindow, one by one, and from the beginning of the term.
func TestFewerAfterTheWholeWindow(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 9, DownWindowMs: 100_000}, 1)
	n, fell := 5, []int{}
	for r.now < 300 {
		d := r.look(n, 0, Demand{})
		if d.Wanted < n {
			fell = append(fell, r.now)
		}
		n = d.Wanted
	}
	if n != 1 || len(fell) != 4 || fell[0] < 100 {
		t.Errorf("%d replicas after falls at %v", n, fell)
	}
	for i := 1; i < len(fell); i++ {
		if fell[i]-fell[i-1] < 10 {
			t.Errorf("two went within %d s", fell[i]-fell[i-1])
		}
	}
}

func TestToNoneAndBack(t *testing.T) {
	r := newRig(&wire.Scale{Min: 0, Max: 3, DownWindowMs: 20_000}, 1)
	r.d.Residency = &wire.Residency{OnDemand: true}
	var d Decision
	for range 40 {
		d = r.look(1, 0, Demand{})
	}
	if d.Wanted != 0 || d.Reason != ByIdle {
		t.Fatalf("nothing is asked for: %+v", d)
	}
	r.now++
	d, changed := r.c.Look(r.d, Sample{At: at(r.now), Placed: 1, Demand: Demand{Waiting: 1, Arrived: 1, Window: 10 * time.Second}}, 0)
	if d.Wanted != 1 || !changed {
		t.Errorf("somebody asks: %+v", d)
	}
}

// TestTrendIsAheadOfTheLoad: arrivals that grow have a replica loaded before slots are short.
func TestTrendIsAheadOfTheLoad(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 9, SlotUse: 1}, 1)
	r.load = time.Minute
	for s := range 200 {
		perSecond := s / 20      // more by one each twenty seconds
		running := perSecond * 5 // each takes five
		if d := r.look(5, running, steady(perSecond)); d.Reason == ByTrend && d.Wanted > 5 {
			if running >= 20 {
				t.Errorf("by then all slots were taken")
			}
			return
		}
	}
	t.Error("the trend was not seen")
}

func TestNoMoreThanHavePlaces(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 9}, 1)
	full := steady(1)
	full.Waiting, full.Oldest = 100, time.Second
	if d := r.look(2, 8, full); d.Wanted < 4 {
		t.Fatalf("%+v", d)
	}
	r.now++
	d, _ := r.c.Look(r.d, Sample{At: at(r.now), Placed: 2, Ready: 2, Slots: 8, Running: 8, Squeezed: true, Demand: full}, 2)
	if d.Wanted != 3 || d.Reason != ByRoom {
		t.Errorf("%+v", d)
	}
}

func TestTokens(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 9, TokensPerSecond: 100}, 1)
	r.now++
	d, _ := r.c.Look(r.d, Sample{At: at(r.now), Placed: 1, Ready: 1, Slots: 4, Running: 1, Tokens: 250, Demand: steady(1)}, 1)
	if d.Wanted != 3 || d.Reason != ByTokens || !strings.Contains(d.Text, "250 tokens/s") {
		t.Errorf("%+v", d)
	}
}

func TestSchedules(t *testing.T) {
	s := &wire.Scale{Min: 1, Max: 4, Schedules: []*wire.ScaleSchedule{
		{Days: []uint32{1, 5}, From: 8 * 60, To: 18 * 60, Timezone: "Europe/Berlin", Min: 3, Max: 8},
		{Days: []uint32{1}, From: 22 * 60, To: 6 * 60, Min: 2},
	}}
	for _, c := range []struct {
		when        string
		least, most int
	}{
		{"2026-03-02T06:59:00Z", 1, 4}, // a Monday; Berlin is an hour ahead
		{"2026-03-02T07:00:00Z", 3, 8},
		{"2026-03-02T16:59:59Z", 3, 8},
		{"2026-03-02T17:00:00Z", 1, 4},
		{"2026-03-02T22:00:00Z", 2, 4},
		{"2026-03-03T05:59:00Z", 2, 4}, // Tuesday, still of Monday's night
		{"2026-03-03T07:30:00Z", 1, 4},
		{"2026-03-02T02:00:00Z", 1, 4}, // of Sunday's
		{"2026-07-03T06:30:00Z", 3, 8}, // a Friday in summer: Berlin is two hours ahead
	} {
		now, err := time.Parse(time.RFC3339, c.when)
		if err != nil {
			t.Fatal(err)
		}
		if least, most, _ := bounds(s, now); least != c.least || most != c.most {
			t.Errorf("%s: between %d and %d, want %d and %d", c.when, least, most, c.least, c.most)
		}
	}
	begins, _ := time.Parse(time.RFC3339, "2026-03-02T06:59:45Z")
	if d := Decide(s, &History{Load: 20 * time.Second, Wanted: 1}, begins); d.Wanted != 3 || d.Reason != BySchedule {
		t.Errorf("15 s before it begins, with 20 s to load: %+v", d)
	}
	if d := Decide(s, &History{Load: 10 * time.Second, Wanted: 1}, begins); d.Wanted != 1 {
		t.Errorf("15 s before it begins, with 10 s to load: %+v", d)
	}
}

// TestANewLeaderGoesOn with what is placed, and wants fewer only after a window of its own.
func TestANewLeaderGoesOn(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 9, DownWindowMs: 30_000}, 1)
	for range 29 {
		if d := r.look(6, 0, Demand{}); d.Wanted != 6 || d.Reason != ByWindow {
			t.Fatalf("after %d s: %+v", r.now, d)
		}
	}
	if n := Began(r.d, 0, epoch); n != 1 {
		t.Errorf("it begins with %d", n)
	}
	if n := Began(r.d, 50, epoch); n != 9 {
		t.Errorf("of 50 that are placed %d are wanted", n)
	}
}

func TestDemandsAddUp(t *testing.T) {
	var d Demand
	d.Add(&wire.Demand{Waiting: 2, OldestMs: 300, WindowMs: 10_000, Arrived: 5, Waits: []uint32{1, 2}})
	d.Add(&wire.Demand{Waiting: 1, OldestMs: 900, WindowMs: 10_500, Arrived: 7, Refused: 1, Waits: make([]uint32, 40)})
	d.Add(&wire.Demand{Waiting: 1 << 31, Waits: []uint32{1 << 31}})
	if d.Waiting != 3+mostTold || d.Oldest != 900*time.Millisecond || d.Arrived != 12 || d.Refused != 1 || d.started() != 3+mostTold {
		t.Errorf("%+v", d)
	}
	late := Demand{}
	late.Waits[spec.WaitBound(time.Second)], late.Waits[0] = 1, 9
	if late.late(500 * time.Millisecond) {
		t.Error("one of ten that is late is too many")
	}
	if late.Waits[0] = 8; !late.late(500 * time.Millisecond) {
		t.Error("one of nine that is late is not too many")
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyScale(t)
		c := NewController()
		d := &wire.Deployment{Name: "m", Replicas: uint32(rapid.IntRange(0, 9).Draw(t, "replicas")), Scale: s}
		now := epoch
		var sinceNeeded time.Time // when as many as were wanted were last needed
		wanted := -1
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
			sample := anySample(t, now)
			began := Began(d, sample.Placed, now)
			got, changed := c.Look(d, sample, began)
			if got.Wanted < got.Min || got.Wanted > got.Max || got.Min < 0 || got.Max < 1 {
				t.Fatalf("%+v is out of bounds", got)
			}
			if wanted < 0 {
				wanted, sinceNeeded = began, now
			}
			if changed != (got.Wanted != wanted) || got.Reason == "" || got.Text == "" {
				t.Fatalf("from %d: %+v, changed %v", wanted, got, changed)
			}
			forced := sample.Squeezed || wanted > got.Max
			if got.Wanted < wanted && !forced && now.Sub(sinceNeeded) < downWindow(s) {
				t.Fatalf("from %d to %+v, though more were needed %v ago", wanted, got, now.Sub(sinceNeeded))
			}
			if got.Look.Down >= got.Wanted {
				sinceNeeded = now
			}
			wanted = got.Wanted
		}
	})
}

// TestMoreDemandNeverNeedsFewer.
func TestMoreDemandNeverNeedsFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, h := anyScale(t), &History{Load: time.Duration(rapid.IntRange(0, 90).Draw(t, "load")) * time.Second, Slots: 4,
			Hold: float64(rapid.IntRange(0, 30).Draw(t, "hold")), Wanted: 1}
		for i := range rapid.IntRange(1, 40).Draw(t, "samples") {
			h.Samples = append(h.Samples, anySample(t, at(i)))
		}
		before := needed(s, h)
		last := &h.Samples[len(h.Samples)-1]
		last.Waiting += rapid.IntRange(0, 20).Draw(t, "waiting")
		last.Oldest += time.Duration(rapid.IntRange(0, 5).Draw(t, "older")) * time.Second
		last.Running += rapid.IntRange(0, 20).Draw(t, "running")
		last.Arrived += rapid.IntRange(0, 20).Draw(t, "arrived")
		last.Refused += rapid.IntRange(0, 20).Draw(t, "refused")
		last.Tokens += float64(rapid.IntRange(0, 1000).Draw(t, "tokens"))
		if after := needed(s, h); after.up < before.up || after.down < before.down {
			t.Fatalf("%+v became %+v", before, after)
		}
	})
}

// TestConstantLoadChangesNothing once it has been seen for a window: whatever the load.
func TestConstantLoadChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(&wire.Scale{Min: 1, Max: 20, DownWindowMs: 60_000}, uint32(rapid.IntRange(1, 20).Draw(t, "replicas")))
		running := rapid.IntRange(0, 60).Draw(t, "running")
		demand := steady(rapid.IntRange(0, 30).Draw(t, "arrivals"))
		n := Began(r.d, 0, epoch)
		changes := 0
		for r.now < 1200 {
			d := r.look(n, min(running, 4*n), demand)
			if d.Wanted != n && r.now > 600 {
				changes++
			}
			n = d.Wanted
		}
		if changes > 0 {
			t.Fatalf("%d changes under constant load, %d replicas in the end", changes, n)
		}
	})
}

func anyScale(t *rapid.T) *wire.Scale {
	s := &wire.Scale{Max: rapid.Uint32Range(1, 12).Draw(t, "max"), QueueWaitMs: rapid.Uint32Range(0, 3000).Draw(t, "wait"),
		UpWindowMs: rapid.Int64Range(0, 30_000).Draw(t, "up"), DownWindowMs: rapid.Int64Range(0, 100_000).Draw(t, "down"),
		MaxStep: rapid.Uint32Range(0, 3).Draw(t, "step"), TokensPerSecond: rapid.SampledFrom([]float64{0, 100}).Draw(t, "tokens")}
	s.Min = rapid.Uint32Range(0, s.Max).Draw(t, "min")
	for range rapid.IntRange(0, 2).Draw(t, "schedules") {
		s.Schedules = append(s.Schedules, &wire.ScaleSchedule{From: rapid.Uint32Range(0, 1439).Draw(t, "from"), To: rapid.Uint32Range(0, 1440).Draw(t, "to"),
			Timezone: rapid.SampledFrom([]string{"", "Asia/Tokyo", "Nowhere/None"}).Draw(t, "zone"),
			Min:      rapid.Uint32Range(0, 20).Draw(t, "schedule's min"), Max: rapid.Uint32Range(0, 20).Draw(t, "schedule's max")})
	}
	return s
}

func anySample(t *rapid.T, now time.Time) Sample {
	n := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
	s := Sample{At: now, Placed: n("placed", 12), Running: n("running", 50), Queued: n("queued", 5), Tokens: float64(n("tokens", 2000)),
		Load: time.Duration(n("load", 90)) * time.Second, Squeezed: rapid.Bool().Draw(t, "squeezed")}
	s.Ready = n("ready", 12)
	s.Slots = s.Ready * n("slots", 8)
	s.Waiting, s.Oldest, s.Window = n("waiting", 30), time.Duration(n("oldest", 4000))*time.Millisecond, 10*time.Second
	s.Arrived, s.Refused = n("arrived", 60), n("refused", 5)
	for range n("waits", 3) {
		s.Waits[n("bound", len(s.Waits)-1)] += uint32(n("count", 20))
	}
	return s
}

// TestRolloutKeepsWhatServes: a new version that finds no room beside the old one lowers nothing.
func TestRolloutKeepsWhatServes(t *testing.T) {
	r := newRig(&wire.Scale{Min: 1, Max: 10}, 10)
	for ready := range 2 { // five are placed of each version, and one loads or not
		r.now++
		d, _ := r.c.Look(r.d, Sample{At: at(r.now), Placed: 5, Ready: 10 - ready, Slots: 40, Running: 40, Squeezed: true, Demand: steady(1)}, 10)
		if d.Wanted != 10 {
			t.Errorf("%+v", d)
		}
	}
}
