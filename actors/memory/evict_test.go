package memory

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

var t0 = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

// idle is an instance that has served for an hour and has nothing to do.
func idle(id string, gib uint64) Candidate {
	return Candidate{ID: spec.InstanceID(id), Bytes: gib << 30, Ready: t0.Add(-time.Hour), LastUsed: t0.Add(-time.Minute), Reload: 10}
}

func with(c Candidate, change func(*Candidate)) Candidate {
	change(&c)
	return c
}

func ids(cs []Candidate) (out []string) {
	for _, c := range cs {
		out = append(out, string(c.ID))
	}
	slices.Sort(out)
	return out
}

func TestEvictChoosesByCost(t *testing.T) {
	for name, c := range map[string]struct {
		candidates []Candidate
		gib        uint64
		want       []string
	}{
		"nothing to free":         {[]Candidate{idle("a", 1)}, 0, nil},
		"the least recently used": {[]Candidate{idle("a", 4), with(idle("b", 4), func(c *Candidate) { c.LastUsed = t0.Add(-30 * time.Minute) })}, 4, []string{"b"}},
		"the least asked":         {[]Candidate{with(idle("a", 4), func(c *Candidate) { c.Demand = 20 }), with(idle("b", 4), func(c *Candidate) { c.Demand = 2 })}, 4, []string{"b"}},
		"the soonest back":        {[]Candidate{with(idle("a", 4), func(c *Candidate) { c.Reload = 60 }), idle("b", 4)}, 4, []string{"b"}},
		"one rather than three":   {[]Candidate{idle("a", 1), idle("b", 1), idle("c", 1), idle("d", 3)}, 3, []string{"d"}},
		"cheap ones rather than one that is wanted": {[]Candidate{idle("a", 2), idle("b", 2),
			with(idle("c", 4), func(c *Candidate) { c.Demand = 50 })}, 4, []string{"a", "b"}},
		"no more than it takes": {[]Candidate{idle("a", 1), idle("b", 8)}, 8, []string{"b"}},
		"asked once, long ago, is not worth more than asked never": {[]Candidate{
			with(idle("a", 4), func(c *Candidate) { c.LastUsed = time.Time{}; c.Ready = t0.Add(-2 * time.Minute) }),
			with(idle("b", 4), func(c *Candidate) { c.Demand = 0.01; c.LastUsed = t0.Add(-59 * time.Minute) })}, 4, []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, refusal := Evict(c.candidates, c.gib<<30, t0, DefaultPolicy)
			if refusal != nil || !slices.Equal(ids(got), c.want) {
				t.Fatalf("victims %v, refusal %v; want %v", ids(got), refusal, c.want)
			}
		})
	}
}

func TestEvictRefusesWithReasons(t *testing.T) {
	pinned := with(idle("pinned", 8), func(c *Candidate) { c.Pinned = true })
	leased := with(idle("leased", 4), func(c *Candidate) { c.Leases = 1 })
	starting := with(idle("starting", 2), func(c *Candidate) { c.Ready = time.Time{} })
	young := with(idle("young", 2), func(c *Candidate) { c.Ready = t0.Add(-4 * time.Second) })
	all := []Candidate{pinned, leased, starting, young, idle("free", 1)}
	for name, c := range map[string]struct {
		gib   uint64
		later bool
		at    time.Time
	}{
		"fits when the youngest has served": {3, true, t0.Add(6 * time.Second)},
		"fits when requests end":            {9, true, time.Time{}},
		"never fits":                        {10, false, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, r := Evict(all, c.gib<<30, t0, DefaultPolicy)
			if got != nil || r == nil || r.Later != c.later || !r.At.Equal(c.at) || r.Possible != 1<<30 || len(r.Kept) != 4 {
				t.Fatalf("victims %v, refusal %+v", got, r)
			}
			for _, want := range []string{"MiB have to be freed, 1024 MiB can be", "pinned with 8192 MiB (it is pinned)",
				"leased with 4096 MiB (it has requests)", "starting with 2048 MiB (it does not serve yet)", "young with 2048 MiB (it has served"} {
				if !strings.Contains(r.Error(), want) {
					t.Errorf("%q does not say %q", r.Error(), want)
				}
			}
		})
	}
}

func drawCandidates(t *rapid.T, most int) []Candidate {
	n := rapid.IntRange(0, most).Draw(t, "candidates")
	out := make([]Candidate, n)
	for i := range out {
		ago := func(label string, most int) time.Time {
			return t0.Add(-time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Second)
		}
		out[i] = Candidate{ID: spec.InstanceID(rune('a' + i)), Bytes: rapid.Uint64Range(0, 40).Draw(t, "bytes"),
			Pinned: rapid.IntRange(0, 5).Draw(t, "pinned") == 0, Leases: max(0, rapid.IntRange(-4, 2).Draw(t, "leases")),
			Ready: ago("ready", 200), LastUsed: ago("used", 4000), Demand: rapid.Float64Range(0, 100).Draw(t, "demand"),
			Reload: rapid.Float64Range(0, 200).Draw(t, "reload")}
		if rapid.IntRange(0, 7).Draw(t, "starting") == 0 {
			out[i].Ready = time.Time{}
		}
	}
	return out
}

// Whatever the candidates: only what may go goes, it suffices, nobody goes in
// vain, and a refusal is right.
func TestEvictProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawCandidates(t, 24)
		need := rapid.Uint64Range(0, 300).Draw(t, "need")
		got, refusal := Evict(in, need, t0, DefaultPolicy)
		var sum, possible, ever uint64
		for _, c := range in {
			if DefaultPolicy.keeps(c, t0) == Evictable {
				possible += c.Bytes
			}
			if !c.Pinned {
				ever += c.Bytes
			}
		}
		for _, v := range got {
			sum += v.Bytes
			if !slices.Contains(in, v) || v.Pinned || v.Leases > 0 || v.Ready.IsZero() || t0.Sub(v.Ready) < DefaultPolicy.MinResidency {
				t.Fatalf("%+v was chosen", v)
			}
		}
		if (refusal != nil) != (possible < need) || refusal != nil && (len(got) > 0 || refusal.Later != (ever >= need) || refusal.Possible != possible) {
			t.Fatalf("victims %v, refusal %+v; possible %d of %d, ever %d", got, refusal, possible, need, ever)
		}
		if refusal == nil && sum < need {
			t.Fatalf("%d of %d bytes come back", sum, need)
		}
		for _, v := range got {
			if sum-v.Bytes >= need {
				t.Fatalf("%+v goes in vain: %d of %d bytes without it", v, sum-v.Bytes, need)
			}
		}
		if refusal != nil && !refusal.At.IsZero() {
			if _, again := Evict(in, need, refusal.At, DefaultPolicy); again != nil {
				t.Fatalf("told to fit at %v: %v", refusal.At, again)
			}
		}
		shuffled := slices.Clone(in)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if other, _ := Evict(shuffled, need, t0, DefaultPolicy); !reflect.DeepEqual(ids(other), ids(got)) {
			t.Fatalf("in another order %v, not %v", ids(other), ids(got))
		}
	})
}

// What is chosen among few costs no more than any other sufficient set.
func TestEvictIsCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []Candidate
		for _, c := range drawCandidates(t, 9) {
			if DefaultPolicy.keeps(c, t0) == Evictable {
				in = append(in, c)
			}
		}
		need := rapid.Uint64Range(1, 120).Draw(t, "need")
		got, refusal := Evict(in, need, t0, DefaultPolicy)
		if refusal != nil {
			return
		}
		price := func(cs []Candidate) (cost float64) {
			for _, c := range cs {
				cost += DefaultPolicy.cost(c, t0)
			}
			return cost
		}
		var best func(rest []Candidate, bytes uint64, cost float64) float64
		best = func(rest []Candidate, bytes uint64, cost float64) float64 {
			switch {
			case bytes >= need:
				return cost
			case len(rest) == 0:
				return 1e300
			}
			with := best(rest[1:], bytes+rest[0].Bytes, cost+DefaultPolicy.cost(rest[0], t0))
			return min(with, best(rest[1:], bytes, cost))
		}
		if least := best(in, 0, 0); price(got) > least*(1+1e-9) {
			t.Fatalf("%v cost %g, the cheapest set costs %g", ids(got), price(got), least)
		}
	})
}

func TestDemandDecays(t *testing.T) {
	var d Demand
	if d.At(t0) != 0 {
		t.Fatal("demand before any request")
	}
	d.Note(t0)
	d.Note(t0)
	if got := d.At(t0.Add(HalfLife)); got < 0.999 || got > 1.001 {
		t.Fatalf("%g after half its life", got)
	}
	d.Note(t0.Add(-time.Hour)) // a clock that went backwards
	if got := d.At(t0); got != 3 {
		t.Fatalf("%g requests", got)
	}
	if got := d.At(t0.Add(1000 * time.Hour)); got > 1e-9 {
		t.Fatalf("%g after a thousand hours", got)
	}
}
