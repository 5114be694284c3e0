package actors

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func mustOpen(t *testing.T, n *testNode, target spec.Target, c spec.Call) spec.Stream {
	t.Helper()
	s, err := n.Opener().Open(context.Background(), target, c, []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustReject(t *testing.T, err error, reason string) *spec.Rejection {
	t.Helper()
	var r *spec.Rejection
	if !errors.As(err, &r) || r.Reason != reason {
		t.Fatalf("error %v, want a rejection: %s", err, reason)
	}
	return r
}

func TestServesWholeAnswers(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	s := mustOpen(t, n, target, call("/whole", false))
	if s.Status() != 200 || s.ContentType() != "application/json" || n.Running() != 1 {
		t.Fatalf("status %d, type %s, %d running", s.Status(), s.ContentType(), n.Running())
	}
	if l, ok := s.Load(); !ok || l.Running != 1 || l.Slots != 2 || !l.Ready || l.Instance != "i" || l.At.IsZero() {
		t.Errorf("load with the admission: %+v", l)
	}
	raw, err := io.ReadAll(s)
	if err != nil || !strings.Contains(string(raw), `"got":"{\"a\":1}"`) || !strings.Contains(string(raw), `"id":"req-1"`) {
		t.Errorf("answer %s, %v", raw, err)
	}
	// The place is free the moment that the answer is, not when it is closed.
	if l, _ := s.Load(); l.Running != 0 || n.Running() != 0 {
		t.Errorf("at the end: load %+v, %d running", l, n.Running())
	}
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read on: %v", err)
	}
}

func TestStreamsAndLearns(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	late := mustOpen(t, n, target, call("/stream", true))
	await(t, "the whole answer has piled up", func() bool { return e.over.Load() == 1 })
	if _, err := io.ReadAll(late); err != nil {
		t.Fatal(err)
	}
	await(t, "the late answer is told of", func() bool { return gathered(t, n, "lotabots_actor_tokens_total") == 50 })
	if l := n.load("i"); l.GetDecodeTps() != 0 {
		t.Errorf("from an answer that was read late, %v tokens/s were learnt", l.GetDecodeTps())
	}
	await(t, "the engine's speed is told", func() bool { // a busy machine may let an answer pile up, which teaches nothing
		raw, err := io.ReadAll(mustOpen(t, n, target, call("/stream", true)))
		if err != nil || strings.Count(string(raw), "data: ") != 22 || !strings.HasSuffix(string(raw), "data: [DONE]\n\n") {
			t.Fatalf("stream %s, %v", raw, err)
		}
		return n.load("i").GetDecodeTps() > 0
	})
	if l := n.load("i"); l.DecodeTps < 2 || l.DecodeTps > 10_000 || l.PrefillTps <= 0 { // 900, where the processors are free
		t.Errorf("an engine of a token a millisecond was measured at %v tokens/s, prefill %v", l.DecodeTps, l.PrefillTps)
	}
	want := float64(50 * e.over.Load())
	await(t, "30 and 20 tokens of each are counted", func() bool { return gathered(t, n, "lotabots_actor_tokens_total") == want })
}

// TestEnginesErrorsPassThrough: what an engine answers is for the client to read.
func TestEnginesErrorsPassThrough(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	s := mustOpen(t, n, target, call("/refuse", true))
	raw, err := io.ReadAll(s)
	if s.Status() != 400 || err != nil || !strings.Contains(string(raw), "no") {
		t.Errorf("%d %s, %v", s.Status(), raw, err)
	}
	if s := mustOpen(t, n, target, call("/none-such", false)); s.Status() != 404 {
		t.Errorf("status %d", s.Status())
	}
}

// TestCutAnswersAreBroken: only an answer that came to its end ends in EOF.
func TestCutAnswersAreBroken(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	for _, path := range []string{"/broken", "/short", "/unmarked"} {
		s := mustOpen(t, n, target, call(path, false))
		if raw, err := io.ReadAll(s); !errors.Is(err, spec.ErrBroken) {
			t.Errorf("%s: %q ended with %v", path, raw, err)
		}
	}
	s := mustOpen(t, n, target, call("/unmarked-stream", true)) // its [DONE] is for the gateway to find
	if raw, err := io.ReadAll(s); err != nil || string(raw) != "data: [DONE]\n\n" {
		t.Errorf("%q, %v", raw, err)
	}
	_, err := n.Opener().Open(t.Context(), target, call("/hangup", false), nil)
	if spec.CodeOf(err) != spec.CodeUpstream || !errors.Is(err, spec.ErrBroken) {
		t.Errorf("an engine that hangs up: %v", err)
	}
	e.Close() // who never got the request cannot have failed of it, and may be asked again
	_, err = n.Opener().Open(t.Context(), target, call("/whole", false), nil)
	mustReject(t, err, spec.RejectUnhealthy)
	if n.Running() != 0 {
		t.Errorf("%d places are still held", n.Running())
	}
}

func TestBusyDrainRelease(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	first, second := mustOpen(t, n, target, call("/hold", true)), mustOpen(t, n, target, call("/hold", true))
	_, err := n.Opener().Open(t.Context(), target, call("/hold", true), nil)
	r := mustReject(t, err, spec.RejectBusy)
	if r.Load == nil || r.Load.Running != 2 || r.Load.Slots != 2 || r.RetryAfter <= 0 {
		t.Errorf("rejection %+v, load %+v", r, r.Load)
	}
	e.release <- struct{}{}
	e.release <- struct{}{}
	if _, err := io.ReadAll(first); err != nil {
		t.Error(err)
	}
	third := mustOpen(t, n, target, call("/hold", true)) // the very moment that the first had ended
	n.DrainAll(within(t, 30*time.Second))
	_, err = n.Opener().Open(t.Context(), target, call("/hold", true), nil)
	mustReject(t, err, spec.RejectDraining)
	if _, err := io.ReadAll(second); err != nil {
		t.Errorf("a stream under way was hurt by the drain: %v", err)
	}
	await(t, "the digest says draining", func() bool {
		told := n.told()
		return told[len(told)-1].Devices[0].Draining
	})
	n.ResumeAll(within(t, 30*time.Second))
	fourth := mustOpen(t, n, target, call("/hold", true))
	_, _ = third.Close(), fourth.Close()
	if n.Running() != 0 {
		t.Errorf("%d running", n.Running())
	}
}

func TestRejections(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e), func(c *Config) { c.Revoked = func(key string) bool { return key == "bad" } })
	target := n.loadStub(t, e, "i", 2, 1)
	with := func(change func(*spec.Call)) spec.Call {
		c := call("/whole", false)
		change(&c)
		return c
	}
	cases := []struct {
		name   string
		target spec.Target
		call   spec.Call
		reason string
	}{
		{"a revoked key", target, with(func(c *spec.Call) { c.Key = "bad" }), spec.RejectRevoked},
		{"another region", target, with(func(c *spec.Call) { c.Regions = []string{"west"} }), spec.RejectRegion},
		{"another version", target, with(func(c *spec.Call) { c.Version = 4 }), spec.RejectStale},
		{"an unknown instance", spec.Target{Device: target.Device, Instance: "j"}, call("/whole", false), spec.RejectNotLoaded},
		{"another device", spec.Target{Device: deviceOf(n, 1), Instance: "i"}, call("/whole", false), spec.RejectNotLoaded},
		{"an unknown device", spec.Target{Device: "gpu/x", Instance: "i"}, call("/whole", false), spec.RejectNotLoaded},
	}
	for _, c := range cases {
		_, err := n.Opener().Open(t.Context(), c.target, c.call, nil)
		t.Log(c.name)
		mustReject(t, err, c.reason)
	}
	ok := with(func(c *spec.Call) { c.Regions, c.Key = []string{"west", "east"}, "good" })
	if _, err := io.ReadAll(mustOpen(t, n, target, ok)); err != nil {
		t.Error(err)
	}
}

// TestGenerationEndsWithItsClient: whichever way the caller leaves, the engine is
// told and the place is free.
func TestGenerationEndsWithItsClient(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 4, 1)
	cases := []struct {
		name  string
		leave func(s spec.Stream, cancel func())
		call  func(*spec.Call)
	}{
		{"closes", func(s spec.Stream, _ func()) { _ = s.Close() }, nil},
		{"cancels and reads no more", func(_ spec.Stream, cancel func()) { cancel() }, nil},
		{"cancels a read", func(s spec.Stream, cancel func()) {
			time.AfterFunc(20*time.Millisecond, cancel)
			if _, err := io.ReadAll(s); !errors.Is(err, spec.ErrBroken) {
				t.Errorf("a cancelled read ended with %v", err)
			}
		}, nil},
		{"is late", func(s spec.Stream, _ func()) {
			if _, err := io.ReadAll(s); !errors.Is(err, spec.ErrBroken) {
				t.Errorf("a read beyond the deadline ended with %v", err)
			}
		}, func(c *spec.Call) { c.Deadline = time.Now().Add(time.Second) }},
		{"closes a read", func(s spec.Stream, _ func()) {
			time.AfterFunc(20*time.Millisecond, func() { _ = s.Close() })
			if _, err := io.ReadAll(s); err == nil {
				t.Error("a closed stream came to its end")
			}
		}, nil},
	}
	for i, c := range cases {
		ctx, cancel := context.WithCancel(context.Background())
		request := call("/hold", true)
		if c.call != nil {
			c.call(&request)
		}
		s, err := n.Opener().Open(ctx, target, request, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		c.leave(s, cancel)
		await(t, "a client that "+c.name+": the engine stops", func() bool { return e.gone.Load() == int64(i+1) })
		await(t, "a client that "+c.name+": the place is free", func() bool { return n.Running() == 0 && n.load("i").GetRunning() == 0 })
		_ = s.Close()
		_ = s.Close()
		cancel()
	}
}

func TestCancelledBeforeTheAnswer(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 4, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 { // whether the actor or the context wins
		if _, err := n.Opener().Open(ctx, target, call("/hold", true), nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("open: %v", err)
		}
	}
	await(t, "no place is held", func() bool {
		ack, err := n.Command(within(t, time.Second), "a", deviceOf(n, 0), &wire.Describe{})
		return err == nil && ack.Load.Instances[0].Running == 0 && n.Running() == 0
	})
}

// TestShutdownEndsStreams: whoever still reads is told that the answer is broken.
func TestShutdownEndsStreams(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 4, 1)
	s := mustOpen(t, n, target, call("/hold", true))
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(s)
		ended <- err
	}()
	n.stop()
	if err := <-ended; !errors.Is(err, spec.ErrBroken) || !strings.Contains(err.Error(), errShutdown.Error()) {
		t.Errorf("the reader was told %v", err)
	}
}

// TestWatchdogFreesForgottenPlaces: a holder that neither reads nor closes loses its place.
func TestWatchdogFreesForgottenPlaces(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	s := mustOpen(t, n, n.loadStub(t, e, "i", 4, 1), call("/hold", true))
	n.streams.abandon(time.Now().Add(abandonAfter / 2))
	if n.Running() != 1 {
		t.Fatal("the watchdog was early")
	}
	n.streams.abandon(time.Now().Add(abandonAfter + time.Minute))
	await(t, "the place is free", func() bool { return n.Running() == 0 && e.gone.Load() == 1 })
	if _, err := io.ReadAll(s); !errors.Is(err, errAbandoned) {
		t.Errorf("read on: %v", err)
	}
}

// TestPiecesAreCounted as they come, for all answers of the instance together.
func TestPiecesAreCounted(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	counted, _ := engine.As[engine.Streams](n.servedAt("i").engine)
	pieces := func() uint64 { return counted.Streamed().Load() }
	held := mustOpen(t, n, target, call("/hold", true))
	time.Sleep(2 * seldom) // since the answer began
	if _, err := held.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	seen := pieces()
	if seen > 1 {
		t.Errorf("%d pieces of one", seen)
	}
	if _, err := io.ReadAll(mustOpen(t, n, target, call("/stream", true))); err != nil {
		t.Fatal(err)
	}
	if more := pieces() - seen; more < 20 || more > 22 {
		t.Errorf("%d pieces of an answer of twenty tokens", more)
	}
	seen = pieces()
	if _, err := io.ReadAll(mustOpen(t, n, target, call("/whole", false))); err != nil || pieces() != seen {
		t.Errorf("%d pieces of an answer in one, %v", pieces()-seen, err)
	}
}

// TestARefusalForMemoryTakesPlacesAway, though the engine lives; its client reads it as it is.
func TestARefusalForMemoryTakesPlacesAway(t *testing.T) {
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 8, 1)
	for range 5 {
		mustOpen(t, n, target, call("/hold", true))
	}
	raw, err := io.ReadAll(mustOpen(t, n, target, call("/full", false)))
	if err != nil || !strings.Contains(string(raw), "CUDA out of memory") {
		t.Errorf("%s, %v", raw, err)
	}
	await(t, "it gets fewer", func() bool {
		return n.load("i").GetSlots() < 6 && n.load("i").GetSlotsReason() == wire.SlotsReason_SLOTS_REASON_MEMORY
	})
}
