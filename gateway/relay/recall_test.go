package relay

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
)

const keptAnswer = `{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}`

// recalling is a bench whose requests' answers may be kept, all of them at the node that home is.
func recalling(t *testing.T, change ...func(*Exchange)) (b *bench, home, other string) {
	b = newBench(t, "a b")
	b.mu.plays["a"], b.mu.plays["b"] = nil, nil
	b.prepare = func(x *Exchange) {
		x.Object = true
		x.Query.Region = "" // so that both are as good
		x.Query.Kept = 1
		x.Call.Cache = &spec.CacheAsk{Sum: [32]byte{1}, TTL: time.Hour, MaxBytes: 1 << 20}
		for _, c := range change {
			c(x)
		}
	}
	g, _, ok := b.table.Named(&balance.Query{Deployment: "m", Version: 3, Kept: 1})
	if !ok {
		t.Fatal("nobody is named")
	}
	g.Free()
	home, other = string(g.Node), "a"
	if home == "a" {
		other = "b"
	}
	return b, home, other
}

// kept is an answer that how says how it was come by.
func kept(how spec.CacheResult, p play) play {
	p.cached, p.age = how, 90*time.Second
	return p
}

// caches are what the calls said of kept answers, in their order.
func (b *bench) caches() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for i, c := range b.mu.opened {
		what := string(b.mu.at[i]) + ":"
		switch {
		case c.Cache == nil:
			what += "none"
		case c.Cache.Only:
			what += "only"
		case c.Cache.Fresh:
			what += "fresh"
		default:
			what += "use"
		}
		out = append(out, what)
	}
	return strings.Join(out, " ")
}

func (b *bench) mustAsk(want string) {
	b.t.Helper()
	if got := b.caches(); got != want {
		b.t.Errorf("asked %s, want %s", got, want)
	}
}

// TestAnswersAreAskedForWhereTheyAreKept: each is told to its client, and what took no
// engine's time is counted as none.
func TestAnswersAreAskedForWhereTheyAreKept(t *testing.T) {
	for _, how := range []spec.CacheResult{spec.CacheHit, spec.CacheJoined, spec.CacheMiss} {
		b, home, _ := recalling(t)
		b.plays(spec.NodeID(home), kept(how, says(200, keptAnswer)))
		res, body := b.get(false)
		age := ""
		if how == spec.CacheHit {
			age = "90"
		}
		if res.StatusCode != 200 || body != keptAnswer || res.Header.Get(HeaderCache) != string(how) || res.Header.Get("Age") != age ||
			res.Header.Get(HeaderCacheKey) != "01"+strings.Repeat("0", 62) {
			t.Errorf("%s: %d %q, headers %v", how, res.StatusCode, body, res.Header)
		}
		b.mustAsk(home + ":use")
		if o := b.outcome(); o.Err != nil || o.Cache != how || (o.Held == 0) != (how != spec.CacheMiss) || o.Held > time.Minute {
			t.Errorf("%s: outcome %+v", how, o)
		}
	}
}

// TestWhereThereIsNoRoomItIsMadeElsewhere: the refusal counts as no attempt, and elsewhere
// the answer may be kept.
func TestWhereThereIsNoRoomItIsMadeElsewhere(t *testing.T) {
	b, home, other := recalling(t)
	full := spec.Load{Slots: 4, Running: 4, Seq: 1 << 20}
	b.plays(spec.NodeID(home), play{err: &spec.Rejection{Reason: spec.RejectBusy, Load: &full}})
	b.plays(spec.NodeID(other), kept(spec.CacheMiss, says(200, keptAnswer)))
	if res, body := b.get(false); res.StatusCode != 200 || body != keptAnswer || res.Header.Get(HeaderAttempts) != "1" {
		t.Errorf("%d %q, headers %v", res.StatusCode, body, res.Header)
	}
	b.mustAsk(home + ":use " + other + ":use")
	b.seq.Add(1 << 21) // what is told from now on is newer
}

// TestAPoisonedHitIsMadeAnew: where it is kept, by the same instance, whose fault it is not.
func TestAPoisonedHitIsMadeAnew(t *testing.T) {
	for name, p := range map[string]play{
		"a page":       {status: 200, kind: "text/html", pieces: []any{"<html>"}},
		"no object":    says(200, `[1]`),
		"no choices":   says(200, `{"id":"x"}`),
		"a redirect":   says(302, `{}`),
		"not a stream": {status: 200, kind: "text/plain", pieces: []any{"x"}},
	} {
		b, home, _ := recalling(t, func(x *Exchange) { x.Call.Path = "/v1/chat/completions" })
		b.plays(spec.NodeID(home), kept(spec.CacheHit, p), kept(spec.CacheMiss, says(200, keptAnswer)))
		if res, body := b.get(false); res.StatusCode != 200 || body != keptAnswer || res.Header.Get(HeaderCache) != "miss" {
			t.Errorf("%s: %d %q, headers %v", name, res.StatusCode, body, res.Header)
		}
		b.mustAsk(home + ":use " + home + ":fresh")
		for _, v := range b.table.Views() {
			if v.Breaker != balance.BreakerClosed || v.Own != 0 {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

// TestAnothersFailureIsNotItsInstances: it is tried again, and the instance that was asked is
// not left alone for it.
func TestAnothersFailureIsNotItsInstances(t *testing.T) {
	joined := fmt.Errorf("%w: %w", spec.ErrJoined, &spec.Error{Code: spec.CodeUpstream, Message: "The engine failed.", Err: spec.ErrBroken})
	for name, first := range map[string]play{
		"before it began":     {err: joined},
		"in the middle":       kept(spec.CacheJoined, says(200, "")),
		"with a status":       kept(spec.CacheJoined, says(500, `{"error":{"message":"no"}}`)),
		"others were ahead":   kept(spec.CacheMiss, says(200, "")),
		"a hit's node breaks": kept(spec.CacheHit, says(200, "")),
	} {
		switch name {
		case "in the middle", "a hit's node breaks":
			first.pieces = []any{`{"choices"`, errBroke}
		case "others were ahead":
			first.pieces = []any{`{"choices"`, fmt.Errorf("%w: %w", spec.ErrBroken, spec.ErrBehind)}
		}
		for range 4 { // breakers open at the third failure in a row
			b, home, other := recalling(t)
			b.plays(spec.NodeID(home), first, kept(spec.CacheMiss, says(200, keptAnswer)))
			b.plays(spec.NodeID(other), kept(spec.CacheMiss, says(200, keptAnswer)))
			if res, body := b.get(false); res.StatusCode != 200 || body != keptAnswer {
				t.Fatalf("%s: %d %q", name, res.StatusCode, body)
			}
			g, _, ok := b.table.Named(&balance.Query{Deployment: "m", Version: 3, Kept: 1})
			if !ok || string(g.Node) != home {
				t.Errorf("%s: the next one goes to %s", name, g.Node)
			}
			g.Free()
		}
	}
}

// TestItsOwnFailureIsItsInstances: a miss is a request like any other.
func TestItsOwnFailureIsItsInstances(t *testing.T) {
	b, home, other := recalling(t)
	b.plays(spec.NodeID(home), play{err: errConnect})
	b.plays(spec.NodeID(other), kept(spec.CacheMiss, says(200, keptAnswer)))
	if res, body := b.get(false); res.StatusCode != 200 || body != keptAnswer {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	b.mustAsk(home + ":use " + other + ":use")
	g, _, _ := b.table.Named(&balance.Query{Deployment: "m", Version: 3, Kept: 1})
	if string(g.Node) != other {
		t.Error("the instance that failed is named again at once")
	}
	g.Free()
}

// TestNobodyIsOvertaken: while others wait for a place the answer is only asked for.
func TestNobodyIsOvertaken(t *testing.T) {
	b, home, _ := recalling(t)
	var held []balance.Grant
	for range 8 {
		var g balance.Grant
		if _, err := b.table.Acquire(t.Context(), &balance.Query{Deployment: "m", Version: 3}, &g); err != nil {
			t.Fatal(err)
		}
		held = append(held, g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error, 1)
	go func() {
		_, err := b.table.Acquire(ctx, &balance.Query{Deployment: "m", Version: 3}, new(balance.Grant))
		waits <- err
	}()
	eventually(t, "one waits", func() bool { return b.table.Waiting() == 1 })
	b.plays(spec.NodeID(home), kept(spec.CacheHit, says(200, keptAnswer)))
	if res, _ := b.get(false); res.StatusCode != 200 || res.Header.Get(HeaderCache) != "hit" {
		t.Errorf("%d, headers %v", res.StatusCode, res.Header)
	}
	b.mustAsk(home + ":only")
	cancel()
	<-waits
	for i := range held {
		held[i].Release()
	}
}

// TestAResumedAnswerIsAskedForAlone: what a stream goes on with is no answer that is kept.
func TestAResumedAnswerIsAskedForAlone(t *testing.T) {
	b, home, other := recalling(t)
	b.can = spec.AbleContinue
	b.tell()
	prepare := b.prepare
	b.prepare = func(x *Exchange) {
		prepare(x)
		x.Object, x.Call.Path, x.Body = false, "/v1/chat/completions", []byte(`{"messages":[{"role":"user","content":"hi"}]}`)
	}
	rest := streams(piece("b"), stopped, done)
	b.plays(spec.NodeID(home), kept(spec.CacheJoined, streams(piece("a"), fmt.Errorf("%w: %w", spec.ErrBroken, spec.ErrBehind))), rest)
	b.plays(spec.NodeID(other), rest)
	_, body := b.get(true)
	if !strings.Contains(body, `"a"`) || !strings.Contains(body, `"b"`) || !strings.Contains(body, "[DONE]") {
		t.Errorf("%q", body)
	}
	if got := b.caches(); !strings.HasPrefix(got, home+":use ") || !strings.HasSuffix(got, ":none") {
		t.Errorf("asked %s", got)
	}
}
