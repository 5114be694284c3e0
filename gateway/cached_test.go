package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestWhatClientsSayOfKeptAnswers: by the header that is for it or by Cache-Control, and what
// is kept where they say nothing.
func TestWhatClientsSayOfKeptAnswers(t *testing.T) {
	const (
		hi      = `"messages":[{"role":"user","content":"hi"}]`
		greedy  = `{"model":"m","temperature":0,` + hi + `}`
		drawn   = `{"model":"m",` + hi + `}`
		seeded  = `{"model":"m","seed":7,` + hi + `}`
		refused = `{"model":"m","seed":-1,` + hi + `}` // engines draw one of their own
		largest = `{"model":"m","seed":4294967295,` + hi + `}`
	)
	r := newRig(t)
	r.node("a", "north", 9, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`))
	})
	keeps := func(engine string, opted bool) {
		r.state.mu.Lock()
		defer r.state.mu.Unlock()
		d := r.state.deployments["m"]
		d.Engine, d.Cache = engine, &wire.AnswerCache{Opted: opted, TtlMs: 1000, MaxBytes: 1 << 20}
	}
	for _, c := range []struct {
		name, engine string
		opted        bool
		body         string
		headers      []string
		want         string // what the call says: use, fresh, aged, or none
	}{
		{"greedy", "embedded", false, greedy, nil, "use"},
		{"drawn", "embedded", false, drawn, nil, "none"},
		{"seeded", "embedded", false, seeded, nil, "use"},
		{"seeded, by an engine that may not keep to it", "sglang", false, seeded, nil, "none"},
		{"greedy, by any engine", "sglang", false, greedy, nil, "use"},
		{"a seed that is none", "embedded", false, refused, nil, "none"},
		{"the largest seed", "embedded", false, largest, nil, "none"},
		{"drawn, and asked for", "embedded", false, drawn, []string{"X-LotaBots-Cache", "use"}, "use"},
		{"opted, and not asked for", "embedded", true, greedy, nil, "none"},
		{"opted, and asked for", "embedded", true, drawn, []string{"X-LotaBots-Cache", "USE"}, "use"},
		{"opted, and asked for anew", "embedded", true, drawn, []string{"X-LotaBots-Cache", "refresh"}, "fresh"},
		{"no", "embedded", false, greedy, []string{"X-LotaBots-Cache", "no"}, "none"},
		{"anew", "embedded", false, greedy, []string{"X-LotaBots-Cache", "refresh"}, "fresh"},
		{"no-store", "embedded", false, greedy, []string{"Cache-Control", "no-store"}, "none"},
		{"no-store, which is stronger", "embedded", false, greedy, []string{"Cache-Control", "no-store", "X-LotaBots-Cache", "use"}, "none"},
		{"no-cache", "embedded", false, greedy, []string{"Cache-Control", "private, No-Cache"}, "fresh"},
		{"no age", "embedded", false, greedy, []string{"Cache-Control", "max-age=0"}, "fresh"},
		{"some age", "embedded", false, greedy, []string{"Cache-Control", `max-age="30"`}, "aged"},
		{"an age that is none", "embedded", false, greedy, []string{"Cache-Control", "max-age=-1"}, "use"},
		{"something else", "embedded", false, greedy, []string{"Cache-Control", "no-transform,,x=y"}, "use"},
	} {
		keeps(c.engine, c.opted)
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", c.body, c.headers...)
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
			continue
		}
		got, call := "none", r.engines.last()
		if ask := call.Cache; ask != nil {
			switch got = "use"; {
			case ask.Fresh:
				got = "fresh"
			case ask.MaxAge > 0:
				got = "aged"
			}
			if ask.Sum == [32]byte{} || ask.MaxBytes != 1<<20 || ask.Only || res.Header.Get("X-LotaBots-Cache-Key") == "" {
				t.Errorf("%s: it asks %+v", c.name, ask)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if h := res.Header.Get("X-LotaBots-Cache"); h != "bypass" { // the engines here keep nothing
			t.Errorf("%s: the answer tells %q", c.name, h)
		}
	}
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", greedy, "X-LotaBots-Cache", "perhaps"); res.StatusCode != 400 || !strings.Contains(body, "use, refresh or no") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	r.state.mu.Lock()
	r.state.deployments["m"].Cache = nil
	r.state.mu.Unlock()
	if res, _ := r.do(r.infer, "POST", "/v1/chat/completions", greedy); res.Header.Get("X-LotaBots-Cache") != "" || r.engines.last().Cache != nil {
		t.Errorf("one that keeps none tells %v", res.Header)
	}
}
