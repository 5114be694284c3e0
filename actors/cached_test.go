package actors

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
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
	if n := n.PurgeAnswers(answers.Match{Tenant: "acme"}); n != 3 { // one of them for all
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

// TestAPlaceIsNotKeptForWhoJoins: it goes back at once, with what else waits at its gateway,
// though the answer takes long.
func TestAPlaceIsNotKeptForWhoJoins(t *testing.T) {
	e := newStub(t)
	granted := make(chan spec.Lease, 100)
	n := newMesh(t).start("a", everything, with(e), func(c *Config) { c.Granted = func(l spec.Lease) { granted <- l } })
	target := n.loadStub(t, e, "i", 1, 1)
	joins := asking("/slow", 1, "acme")
	joins.Gateway, joins.Lease, joins.Waits = "g", 99, &spec.Reservation{Instance: target.Instance, Seq: 2, Count: 7}
	found := n.answers[target.Device].Ask(&answers.Request{
		Key: answers.Key{Tenant: "acme", Deployment: "d", Version: 3, Sum: joins.Cache.Sum}, TTL: time.Hour, MaxBytes: 1 << 20})
	done := make(chan error, 1)
	go func() {
		s, err := n.Opener().Open(context.Background(), target, joins, []byte("{}"))
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	select { // the actor, once it is told, has a place for the others
	case l := <-granted:
		if l.Gateway != "g" {
			t.Errorf("granted %+v", l)
		}
	case <-time.After(20 * time.Second):
		t.Error("what waits is not told while the answer is waited for")
	}
	select {
	case err := <-done:
		t.Errorf("it did not wait for the answer: %v", err)
	default:
	}
	found.Flight.Open(200, "application/json", spec.Load{}, false)
	found.Flight.Land(spec.Load{}, false)
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = found.Reader.Close()
}

// TestAJoinersFailureSaysWhoseItIs: it is not of the instance that it asked, as far as is known.
func TestAJoinersFailureSaysWhoseItIs(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 4, 1)
	c := asking("/slow", 1, "acme")
	found := n.answers[target.Device].Ask(&answers.Request{
		Key: answers.Key{Tenant: "acme", Deployment: "d", Version: 3, Sum: c.Cache.Sum}, TTL: time.Hour, MaxBytes: 1 << 20})
	done := make(chan error, 1)
	go func() {
		_, err := n.Opener().Open(context.Background(), target, c, []byte("{}"))
		done <- err
	}()
	await(t, "it has joined", func() bool { return n.Answers()[target.Device][0].Joined == 1 })
	found.Flight.Fail(&spec.Error{Code: spec.CodeUpstream, Message: "x", Err: spec.ErrBroken})
	if err := <-done; !errors.Is(err, spec.ErrJoined) || !errors.Is(err, spec.ErrBroken) || spec.CodeOf(err) != spec.CodeUpstream {
		t.Errorf("it failed with %v", err)
	}
	_ = found.Reader.Close()
	_, err := n.Opener().Open(t.Context(), target, asking("/hangup", 2, "acme"), []byte("{}"))
	if err == nil || errors.Is(err, spec.ErrJoined) {
		t.Errorf("its own failure is %v", err)
	}
}

// TestAPanicEndsItsAnswerAlone: the node goes on, its log has the stack, and clients are told
// nothing of it.
func TestAPanicEndsItsAnswerAlone(t *testing.T) {
	e := newStub(t)
	var log lines
	n := newMesh(t).start("a", everything, with(e), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	target := n.loadStub(t, e, "i", 1, 1)
	open := n.recalling(func(context.Context, spec.Target, *spec.Call, []byte) (spec.Stream, error) { panic("a secret") })
	for range 2 {
		c := asking("/slow", 1, "acme")
		_, err := open(t.Context(), target, &c, nil)
		if spec.CodeOf(err) != spec.CodeInternal || strings.Contains(err.Error(), "secret") {
			t.Errorf("it failed with %v", err)
		}
	}
	await(t, "the log tells of it", func() bool {
		text := log.String()
		return strings.Contains(text, "a secret") && strings.Contains(text, "cached_test.go")
	})
	e.release <- struct{}{}
	if text, how := told(t, mustOpen(t, n, target, asking("/slow", 1, "acme"))); text != firstAnswer || how != spec.CacheMiss {
		t.Errorf("afterwards: %s, %s", text, how)
	}
}

// lines is what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
