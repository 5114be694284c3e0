package actors

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/answers"
	"github.com/lotabots/lotabots/cluster/spec"
)

// asking is a call whose answer may be kept.
func asking(path string, sum byte, tenant string) spec.Call {
	c := call(path, false)
	c.Tenant, c.Cache = tenant, &spec.CacheAsk{Sum: [32]byte{sum}, TTL: time.Hour, MaxBytes: 1 << 20}
	return c
}

// told reads the answer and tells how it was come by.
func told(t *testing.T, s spec.Stream) (text string, how spec.CacheResult) {
	t.Helper()
	raw, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	how, _ = s.(spec.Cached).Cached()
	return string(raw), how
}

const firstAnswer = `{"answer":1,"choices":[{"index":0,"finish_reason":"stop"}]}`

// TestOneAnswerForAll: of many who ask the same at once one asks the engine, who may
// leave; the others take no place, and neither does who comes later.
func TestOneAnswerForAll(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 1, 1) // one slot
	type result struct {
		spec.Stream
		err error
	}
	open := func(ctx context.Context) <-chan result {
		ch := make(chan result, 1)
		go func() {
			s, err := n.Opener().Open(ctx, target, asking("/slow", 1, "acme"), []byte("{}"))
			ch <- result{s, err}
		}()
		return ch
	}
	ctx, leave := context.WithCancel(context.Background())
	lead := open(ctx)
	await(t, "the engine is asked", func() bool { return e.asked.Load() == 1 })
	joined := make([]<-chan result, 20)
	for i := range joined {
		joined[i] = open(context.Background())
	}
	await(t, "all have joined", func() bool { return n.Answers()[target.Device][0].Joined == 20 })
	leave()
	if r := <-lead; !errors.Is(r.err, context.Canceled) {
		t.Fatalf("who left has %v", r.err)
	}
	// Another request finds the only slot taken; one that begins nothing is told so too.
	if _, err := n.Opener().Open(t.Context(), target, asking("/slow", 2, "acme"), nil); err == nil {
		t.Error("there was a second slot")
	}
	e.release <- struct{}{}
	for _, ch := range joined {
		r := <-ch
		if r.err != nil {
			t.Fatal(r.err)
		}
		if text, how := told(t, r.Stream); text != firstAnswer || how != spec.CacheJoined {
			t.Errorf("joined: %s, %s", text, how)
		}
		_ = r.Close()
	}
	s := mustOpen(t, n, target, asking("/slow", 1, "acme"))
	if text, how := told(t, s); text != firstAnswer || how != spec.CacheHit {
		t.Errorf("later: %s, %s", text, how)
	}
	if _, ok := s.Load(); ok || n.Running() != 0 || e.asked.Load() != 1 || e.gone.Load() != 0 {
		t.Errorf("%d running, the engine was asked %d times and left %d times", n.Running(), e.asked.Load(), e.gone.Load())
	}
	if got := gathered(t, n, "lotabots_cache_hits_total"); got != 1 {
		t.Errorf("%v hits are counted", got)
	}
}

// TestAnswersAreApart: no answer is another tenant's, another version's or another
// request's, unless its deployment shares them; and none outlives a purge.
func TestAnswersAreApart(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 4, 1)
	for range 20 {
		e.release <- struct{}{}
	}
	how := func(c spec.Call) spec.CacheResult {
		t.Helper()
		_, how := told(t, mustOpen(t, n, target, c))
		return how
	}
	shared := func(tenant string) spec.Call {
		c := asking("/slow", 1, tenant)
		c.Cache.Shared = true
		return c
	}
	for i, step := range []struct {
		spec.Call
		want spec.CacheResult
	}{
		{asking("/slow", 1, "acme"), spec.CacheMiss}, {asking("/slow", 1, "acme"), spec.CacheHit},
		{asking("/slow", 1, "brick"), spec.CacheMiss}, {asking("/slow", 2, "acme"), spec.CacheMiss},
		{shared("acme"), spec.CacheMiss}, {shared("brick"), spec.CacheHit},
		{asking("/slow", 1, "acme"), spec.CacheHit},
	} {
		if got := how(step.Call); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if n := n.PurgeAnswers(answers.Match{Tenant: "acme"}); n != 2 {
		t.Errorf("%d were purged", n)
	}
	if a, b := how(asking("/slow", 1, "acme")), how(asking("/slow", 1, "brick")); a != spec.CacheMiss || b != spec.CacheHit {
		t.Errorf("after the purge of acme's: %s, %s", a, b)
	}
	n.KeepAnswers("d", 4) // another version than the instance's
	if got := how(asking("/slow", 1, "brick")); got != spec.CacheMiss {
		t.Errorf("after a change of the version: %s", got)
	}
	only := asking("/slow", 9, "acme")
	only.Cache.Only = true
	_, err := n.Opener().Open(t.Context(), target, only, nil)
	mustReject(t, err, spec.RejectBusy)
	bad := asking("/refuse", 3, "acme")
	if a, b := how(bad), how(bad); a != spec.CacheMiss || b != spec.CacheMiss {
		t.Errorf("a refusal was kept: %s, %s", a, b)
	}
}

// TestWhoJoinedARefusalAsksForItself: another's refusal is not its own.
func TestWhoJoinedARefusalAsksForItself(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 1, 1)
	held := mustOpen(t, n, target, call("/hold", true))
	for range 30 {
		_, err := n.Opener().Open(t.Context(), target, asking("/slow", 1, "acme"), nil)
		mustReject(t, err, spec.RejectBusy)
	}
	_ = held.Close()
	await(t, "the engine has noticed", func() bool { return e.holding.Load() == 0 }) // it must not take what is meant for the next
	e.release <- struct{}{}
	await(t, "the place is free", func() bool {
		s, err := n.Opener().Open(t.Context(), target, asking("/slow", 1, "acme"), nil)
		if err != nil {
			return false
		}
		_, _ = io.ReadAll(s)
		return s.Close() == nil
	})
}
