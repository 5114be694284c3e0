package relay

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
)

// punctual ends as a serving node does: at the deadline itself, before any sweep.
type punctual struct{ *bench }

func (p punctual) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	ctx, cancel := context.WithDeadline(ctx, call.Deadline)
	s, err := p.bench.Open(ctx, target, call, body)
	if err != nil {
		defer cancel()
		if ctx.Err() != nil {
			return nil, &spec.Error{Code: spec.CodeDeadline, Message: "The request's deadline passed on the serving node.", Err: err}
		}
		return nil, err
	}
	context.AfterFunc(ctx, cancel)
	return s, nil
}

func newPunctual(t *testing.T, nodes string) *bench {
	return newBench(t, nodes, func(c *Config) { c.Opener = punctual{c.Opener.(*bench)} })
}

// TestPunctualDeadline: a serving node that ends its engine's work at the request's deadline,
// before this gateway looks at it, has failed nothing.
func TestPunctualDeadline(t *testing.T) {
	t.Parallel()
	resumable := fmt.Sprintf("data: {\"id\":\"x\",\"choices\":[%s]}\n\n", `{"index":0,"delta":{"content":"one"},"finish_reason":null}`)
	for name, c := range map[string]struct {
		p      play
		stream bool
		event  bool
	}{
		"while it is admitted":     {play{hang: true}, true, false},
		"before the first byte":    {streams(time.Hour), true, false},
		"in a stream":              {streams(piece("x"), time.Hour), true, true},
		"in one that could go on":  {streams(resumable, time.Hour), true, true},
		"not streamed":             {play{status: 200, kind: "application/json", pieces: []any{"{", time.Hour}}, false, false},
		"not streamed, no headers": {play{hang: true}, false, false},
		"by the engine's own end":  {streams(piece("x"), 610*time.Millisecond, ""), true, true},
		"by the engine's error":    {streams(piece("x"), 610*time.Millisecond, "data: {\"error\":{\"message\":\"cancelled\"}}\n\n"), true, true},
		"by the engine's status":   {play{status: 500, kind: "application/json", pieces: []any{610 * time.Millisecond, "{}"}}, false, false},
	} {
		b := newPunctual(t, "a b")
		b.can = spec.AbleUsage | spec.AbleContinue
		b.tell()
		b.prepare = func(x *Exchange) {
			x.Body = []byte(`{"messages":[{"role":"user","content":"x"}],"stream":true}`)
			x.Fallback = func(int) (Alternative, bool) {
				return Alternative{Name: "m", Query: x.Query, Body: x.Body}, true
			}
		}
		for _, n := range b.nodes {
			b.plays(spec.NodeID(n), c.p)
		}
		res, body := b.get(c.stream, "Deadline", "600ms")
		if c.event {
			errorEvent(t, body, spec.CodeDeadline)
		} else if res.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, string(spec.CodeDeadline)) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeDeadline || o.Resumes != 0 || b.tried() != "a" {
			t.Errorf("%s: outcome %+v, tried %s", name, o, b.tried())
		}
		b.unblamed(name)
	}
}

// unblamed checks that the first node's instance is still the one that is asked.
func (b *bench) unblamed(after string) {
	b.t.Helper()
	for _, v := range b.table.Views() {
		if v.Breaker != balance.BreakerClosed || v.Opened != 0 {
			b.t.Errorf("%s: a breaker is open: %+v", after, v)
		}
	}
	var g balance.Grant
	if _, err := b.table.Acquire(b.t.Context(), &balance.Query{Deployment: "m", Version: 3, Region: "north", PromptTokens: 10}, &g); err != nil {
		b.t.Fatalf("%s: %v", after, err)
	}
	if g.Target.Instance != "i-a" {
		b.t.Errorf("%s: the next request goes to %s", after, g.Target.Instance)
	}
	g.Release()
}

// TestHastyClients: clients with deadlines that nobody could meet open no breaker for others.
func TestHastyClients(t *testing.T) {
	t.Parallel()
	b := newPunctual(t, "a")
	b.plays("a", streams(piece("x"), time.Hour))
	var all sync.WaitGroup
	for i := range 24 {
		if i%4 == 0 { // its slots
			all.Wait()
		}
		all.Go(func() {
			res, err := b.ask(t.Context(), i%2 == 0, "Deadline", "50ms", "X-Request-Id", fmt.Sprint(i))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
		})
	}
	all.Wait()
	b.unblamed("many deadlines")
	b.plays("a", play{err: errBroke})
	if res, body := b.get(false, "Deadline", "60s"); res.StatusCode != 503 && res.StatusCode != 502 {
		t.Errorf("an engine that failed in time: %d %s", res.StatusCode, body)
	}
	if _, err := b.table.Acquire(t.Context(), &balance.Query{Deployment: "m", Version: 3, Hasty: true}, new(balance.Grant)); err == nil {
		t.Error("an engine that failed in time is asked again at once")
	}
}
