package relay

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// late is a bench whose first node answers late once it is told to, and which has
// learnt that answers come at once.
func late(t *testing.T, slow play, nodes string) (*bench, *prometheus.Registry, *atomic.Bool) {
	reg, now := prometheus.NewRegistry(), &atomic.Bool{}
	b := newBench(t, nodes, func(c *Config) { c.Registerer = reg })
	b.prepare = func(x *Exchange) { x.Hedge = true }
	b.compose = func(n spec.NodeID, _ spec.Call) play {
		switch {
		case n == "b":
			return says(200, `{"by":"b"}`)
		case now.Load():
			return slow
		}
		return says(200, `{"by":"a"}`)
	}
	for range 2 * speedLeast {
		b.get(false)
	}
	b.mu.Lock()
	b.mu.opened, b.mu.at, b.mu.outcomes = nil, nil, nil
	b.mu.Unlock()
	now.Store(true)
	return b, reg, now
}

func TestHedge(t *testing.T) {
	slow := play{status: 200, kind: "application/json", pieces: []any{time.Minute, `{"by":"a"}`}}
	for name, p := range map[string]play{"late": slow, "hangs": {hang: true}} {
		b, reg, _ := late(t, p, "a b")
		before, began := counted(t, reg, "lotabots_gateway_hedges_total"), time.Now()
		res, body := b.get(false)
		if res.StatusCode != 200 || body != `{"by":"b"}` || time.Since(began) > 40*time.Second || b.tried() != "a b" {
			t.Errorf("%s: %d %s after %v, tried %s", name, res.StatusCode, body, time.Since(began), b.tried())
		}
		if o := b.outcome(); o.Err != nil || o.Node != "b" || o.Attempts != 2 {
			t.Errorf("%s: outcome %+v", name, o)
		}
		eventually(t, "the loser is closed", func() bool { return b.streamsOpen() == 0 })
		if n := counted(t, reg, "lotabots_gateway_hedges_total") - before; n != 1 {
			t.Errorf("%v hedges are counted", n)
		}
	}
}

// TestHedgeWherePossible: none for who may not be asked twice, has a long prompt, streams,
// or has nobody else.
func TestHedgeWherePossible(t *testing.T) {
	slow := play{status: 200, kind: "application/json", pieces: []any{200 * time.Millisecond, `{"by":"a"}`}}
	for name, change := range map[string]func(x *Exchange){
		"off":  func(x *Exchange) { x.Hedge = false },
		"long": func(x *Exchange) { x.Hedge, x.Query.PromptTokens = true, hedgeTokens+1 },
		"elsewhere": func(x *Exchange) {
			x.Hedge, x.Query.Regions, x.Call.Regions = true, []string{"north"}, []string{"north"} // b is in the south
		},
	} {
		b, _, _ := late(t, slow, "a b")
		b.prepare = change
		if _, body := b.get(false); body != `{"by":"a"}` || b.tried() != "a" {
			t.Errorf("%s: %s, tried %s", name, body, b.tried())
		}
	}
	b, _, _ := late(t, slow, "a")
	if _, body := b.get(false); body != `{"by":"a"}` || b.tried() != "a" {
		t.Errorf("alone: %s, tried %s", body, b.tried())
	}
	b, _, _ = late(t, slow, "a b")
	for b.relay.budgets.take("m") {
	}
	if _, body := b.get(false); body != `{"by":"a"}` || b.tried() != "a" {
		t.Errorf("without a budget: %s, tried %s", body, b.tried())
	}
}

// TestHedgeFails: the first answer counts where the second one is none, and the other way round.
func TestHedgeFails(t *testing.T) {
	slow := play{status: 200, kind: "application/json", pieces: []any{300 * time.Millisecond, `{"by":"a"}`}}
	b, _, _ := late(t, slow, "a b")
	first := b.compose
	b.compose = func(n spec.NodeID, c spec.Call) play {
		if n == "b" {
			return says(http.StatusInternalServerError, "no")
		}
		return first(n, c)
	}
	if res, body := b.get(false); res.StatusCode != 200 || body != `{"by":"a"}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	b, _, _ = late(t, play{status: 200, kind: "application/json", pieces: []any{300 * time.Millisecond, errBroke}}, "a b")
	first2 := b.compose
	b.compose = func(n spec.NodeID, c spec.Call) play {
		if n == "b" {
			return play{status: 200, kind: "application/json", pieces: []any{600 * time.Millisecond, `{"by":"b"}`}}
		}
		return first2(n, c)
	}
	if res, body := b.get(false); res.StatusCode != 200 || body != `{"by":"b"}` || b.tried() != "a b" {
		t.Errorf("%d %s, tried %s", res.StatusCode, body, b.tried())
	}
}

func TestSpeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s speed
		var all []time.Duration
		for i, ms := range rapid.SliceOfN(rapid.IntRange(0, 1000), 0, 400).Draw(t, "ms") {
			d := time.Duration(ms) * time.Millisecond
			s.took(d)
			all = append(all, d)
			if i+1 < speedLeast {
				if s.limit() != 0 {
					t.Fatalf("%v is said after %d answers", s.limit(), i+1)
				}
				continue
			}
			if (i+1)%speedAnew != 0 {
				continue
			}
			kept := all[max(0, len(all)-speedKept):]
			over := 0
			for _, d := range kept {
				if d > s.limit() {
					over++
				}
			}
			if float64(over) > 0.05*float64(len(kept)) {
				t.Fatalf("%d of %d took longer than %v", over, len(kept), s.limit())
			}
		}
	})
}

// TestBothLegsDie: a hedge's two engines that break off are the two that a request may cost.
func TestBothLegsDie(t *testing.T) {
	slow := play{status: 200, kind: "application/json", pieces: []any{200 * time.Millisecond, errBroke}}
	b, _, now := late(t, slow, "a b c")
	learnt := b.compose
	b.compose = func(n spec.NodeID, c spec.Call) play {
		if n != "a" && now.Load() {
			return play{err: errBroke}
		}
		return learnt(n, c)
	}
	if res, _ := b.get(false); res.StatusCode != 502 || b.tried() != "a b" {
		t.Errorf("%d, tried %s", res.StatusCode, b.tried())
	}
}
