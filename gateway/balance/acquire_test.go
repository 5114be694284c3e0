package balance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A field is a table with nodes that tell of one instance of m each.
type field struct {
	*Table
	seq uint64
}

func newField(c Config) *field {
	c.Region = "north"
	return &field{Table: NewTable(c)}
}

// Acquire is the table's.
func (f *field) Acquire(ctx context.Context, q *Query) (g Grant, err error) {
	_, err = f.Table.Acquire(ctx, q, &g)
	return g, err
}

// tell is a digest of node: one instance, i-node.
func (f *field) tell(node, region string, slots, running uint32, change ...func(*wire.DeviceLoad)) {
	f.seq++
	f.PutMember(Member{Node: spec.NodeID(node), Region: region})
	dev := &wire.DeviceLoad{Device: "cpu/" + node, Seq: f.seq, Instances: []*wire.InstanceLoad{{
		Instance: "i-" + node, Deployment: "m", Version: 1, State: ready, Slots: slots, Running: running}}}
	for _, c := range change {
		c(dev)
	}
	f.Observe(&wire.LoadDigest{Node: node, Boot: 1, Devices: []*wire.DeviceLoad{dev}}, f.cfg.Now())
}

func ask(change ...func(*Query)) *Query {
	q := &Query{Deployment: "m", Version: 1, Region: "north", PromptTokens: 10}
	for _, c := range change {
		c(q)
	}
	return q
}

func (f *field) must(t *testing.T, q *Query) *Grant {
	t.Helper()
	g, err := f.Acquire(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return &g
}

func refusal(t *testing.T, err error, code spec.Code) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Err.Code != code || r.RetryAfter < MinRetry {
		t.Fatalf("refused with %v, want %s and when to come again", err, code)
	}
	return r
}

func TestAcquireCountsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Second})
		f.tell("a", "north", 1, 0)
		f.tell("b", "north", 1, 0)
		one, two := f.must(t, ask()), f.must(t, ask())
		if one.Node == two.Node || one.Version != 1 || one.Device != spec.DeviceID("cpu/"+string(one.Node)) {
			t.Errorf("both at %v", one.Target)
		}
		f.tell("a", "north", 1, 0) // made before it had heard of the request
		f.tell("b", "north", 1, 0)
		began := time.Now()
		_, err := f.Acquire(t.Context(), ask())
		refusal(t, err, spec.CodeBusy)
		if time.Since(began) != time.Second || f.Waiting() != 0 {
			t.Errorf("waited %v, and %d still do", time.Since(began), f.Waiting())
		}
		one.Release()
		one.Release() // does nothing
		if g := f.must(t, ask()); g.Node != one.Node {
			t.Errorf("at %s, where there is no room", g.Node)
		}
	})
}

// TestQueueInOrder serves those who wait in the order of their coming, one for
// each place that comes free.
func TestQueueInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Minute})
		f.tell("a", "north", 1, 0)
		held := f.must(t, ask())
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				g := f.must(t, ask())
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
				g.Release()
			})
			synctest.Wait()
		}
		if f.Waiting() != 5 {
			t.Errorf("%d wait", f.Waiting())
		}
		began := time.Now()
		held.Release()
		wg.Go(func() { // heartbeats, without which the instance would count as full
			for range 5 {
				time.Sleep(time.Second)
				f.tell("a", "north", 1, 0)
			}
		})
		wg.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3, 4}) || time.Since(began) != 5*time.Second {
			t.Errorf("order %v after %v", order, time.Since(began))
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueLength: 2, QueueTimeout: time.Second})
		f.tell("a", "north", 1, 1)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_, err := f.Acquire(t.Context(), ask())
				refusal(t, err, spec.CodeBusy)
			})
		}
		synctest.Wait()
		began := time.Now()
		_, err := f.Acquire(t.Context(), ask())
		refusal(t, err, spec.CodeBusy)
		if time.Since(began) != 0 {
			t.Errorf("waited %v in a queue that was full", time.Since(began))
		}
		wg.Wait()
	})
}

func TestWaitForWhat(t *testing.T) {
	const ready, queue, load = 2 * time.Second, 5 * time.Second, time.Minute
	loads := func(d *wire.DeviceLoad) { d.Instances[0].State = loading }
	for _, c := range []struct {
		name string
		set  func(*field)
		q    *Query
		code spec.Code
		wait time.Duration
	}{
		{"nobody", func(*field) {}, ask(), spec.CodeNotReady, 0},
		{"nobody, but the state places one", func(*field) {}, ask(func(q *Query) { q.Expected = true }), spec.CodeNotReady, ready},
		{"one loads", func(f *field) { f.tell("a", "north", 1, 0, loads) }, ask(), spec.CodeNotReady, load},
		{"one that loads fails", func(f *field) {
			f.tell("a", "north", 1, 0, loads)
			time.AfterFunc(9*time.Second, func() { f.tell("a", "north", 1, 0, func(d *wire.DeviceLoad) { d.Instances[0].State = failed }) }) // looked at every 2 s
		}, ask(), spec.CodeNotReady, 10 * time.Second},
		{"full", func(f *field) { f.tell("a", "north", 1, 1) }, ask(), spec.CodeBusy, queue},
		{"all tried", func(f *field) { f.tell("a", "north", 1, 0) }, ask(func(q *Query) { q.Exclude = []spec.InstanceID{"i-a"} }), spec.CodeUpstream, 0},
		{"elsewhere alone", func(f *field) { f.tell("a", "north", 1, 0) }, ask(func(q *Query) { q.Regions = []string{"south"} }), spec.CodeNotReady, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(Config{ReadyTimeout: ready, QueueTimeout: queue, LoadTimeout: load, DigestInterval: time.Minute})
			c.set(f)
			began := time.Now()
			_, err := f.Acquire(t.Context(), c.q)
			var r *Refusal
			if !errors.As(err, &r) || r.Err.Code != c.code || time.Since(began) != c.wait {
				t.Errorf("%s: %v after %v, want %s after %v", c.name, err, time.Since(began), c.code, c.wait)
			}
			if n := len(f.mu.pools); n > len(f.mu.instances) {
				t.Errorf("%s: %d pools of %d instances are left", c.name, n, len(f.mu.instances))
			}
		})
	}
}

// TestWakeUps has one request wait, and does what must let it go on.
func TestWakeUps(t *testing.T) {
	for name, wake := range map[string]func(f *field, g *Grant){
		"release":      func(_ *field, g *Grant) { g.Release() },
		"digest":       func(f *field, _ *Grant) { f.tell("a", "north", 2, 1) },
		"another node": func(f *field, _ *Grant) { f.tell("b", "south", 1, 0) },
		"a member": func(f *field, _ *Grant) {
			f.Observe(digest("c", 1, 1, load("i-c", 1, 0)), time.Now())
			f.PutMember(Member{Node: "c"})
		},
		"an answer's load": func(_ *field, g *Grant) { g.Learn(spec.Load{Slots: 2, Running: 1, Seq: 1 << 40}) },
		"a failure": func(f *field, g *Grant) {
			f.tell("b", "south", 1, 1)
			f.tell("b", "south", 1, 0)
			g.Failed()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newField(Config{QueueTimeout: time.Second})
			f.tell("a", "north", 1, 0)
			held := f.must(t, ask())
			done := make(chan error, 1)
			go func() {
				g, err := f.Acquire(t.Context(), ask())
				g.Release()
				done <- err
			}()
			synctest.Wait()
			if f.Waiting() != 1 {
				t.Fatalf("%s: %d wait", name, f.Waiting())
			}
			began := time.Now()
			wake(f, held)
			if err := <-done; err != nil || time.Since(began) != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
		})
	}
}

// TestPastTheOneWhoCannot: somebody who waits for one instance alone must not
// hold up those who come after him and whom another suits.
func TestPastTheOneWhoCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Second})
		f.tell("a", "north", 1, 0)
		f.tell("b", "south", 1, 1)
		go func() {
			_, err := f.Acquire(t.Context(), ask(func(q *Query) { q.Exclude = []spec.InstanceID{"i-a"} }))
			refusal(t, err, spec.CodeBusy)
		}()
		synctest.Wait()
		began := time.Now()
		if g := f.must(t, ask()); g.Node != "a" || time.Since(began) != 0 {
			t.Errorf("at %s after %v", g.Node, time.Since(began))
		}
		time.Sleep(2 * time.Second)
	})
}

func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{})
		f.tell("a", "north", 1, 1)
		why := errors.New("client left")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := f.Acquire(ctx, ask()); !errors.Is(err, why) || f.Waiting() != 0 {
			t.Errorf("%v, and %d wait", err, f.Waiting())
		}
	})
}

// TestBusyIsNotOfferedOn: the place that an actor has just refused must not go
// to the next one who waits; it counts as full until it is heard of.
func TestBusyIsNotOfferedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, r := range []*spec.Rejection{
			{Reason: spec.RejectBusy},
			{Reason: spec.RejectBusy, Load: &spec.Load{Slots: 1, Running: 0, Seq: 1 << 40}},
			{Reason: spec.RejectDraining},
			{Reason: spec.RejectNotLoaded, Load: &spec.Load{Slots: 1, Seq: 1 << 40}},
		} {
			f := newField(Config{QueueTimeout: 3 * time.Second})
			f.tell("a", "north", 1, 0)
			g := f.must(t, ask())
			done := make(chan time.Time, 1)
			go func() { f.must(t, ask()); done <- time.Now() }()
			synctest.Wait()
			g.Rejected(r)
			synctest.Wait()
			if f.Waiting() != 1 {
				t.Fatalf("%s: the refused place went to the next one", r.Reason)
			}
			f.seq = 1 << 41
			time.Sleep(time.Second)
			heard := time.Now()
			f.tell("a", "north", 1, 0)
			if at := <-done; at != heard {
				t.Errorf("%s: served %v after it was heard of", r.Reason, at.Sub(heard))
			}
		}
	})
}

// TestNoLostWakeUps runs many requests over few places, with failures,
// refusals and leavers among them, and digests that are late. All have to get
// through, and nothing may be left behind.
func TestNoLostWakeUps(t *testing.T) {
	f := newField(Config{QueueTimeout: time.Minute, ReadyTimeout: time.Minute, QueueLength: 1 << 20, DigestInterval: time.Hour})
	nodes := []string{"a", "b", "c"}
	for _, n := range nodes {
		f.tell(n, "north", 2, 0)
	}
	var wg sync.WaitGroup
	var seq sync.Mutex
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for w := range 24 {
		wg.Go(func() {
			for i := range 60 {
				mine, leave := context.WithCancel(ctx)
				if (w+i)%7 == 0 {
					leave()
				}
				g, err := f.Acquire(mine, ask(func(q *Query) { q.Expected = true }))
				leave()
				switch {
				case err != nil && (w+i)%7 != 0:
					t.Errorf("request %d of %d: %v", i, w, err)
					return
				case err != nil:
				case (w+i)%5 == 0:
					g.Rejected(&spec.Rejection{Reason: spec.RejectBusy})
					seq.Lock()
					f.tell(string(g.Node), "north", 2, 0)
					seq.Unlock()
				case (w+i)%11 == 0:
					g.Failed()
					seq.Lock()
					f.tell(string(g.Node), "north", 2, 0)
					seq.Unlock()
				default:
					g.Answered()
					g.Release()
				}
			}
		})
	}
	wg.Wait()
	if f.Waiting() != 0 {
		t.Errorf("%d still wait", f.Waiting())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, in := range f.mu.instances {
		if in.own != 0 {
			t.Errorf("%s: %d places were not given back", id, in.own)
		}
	}
}

// TestTwoGateways share an actor with two slots: each counts its own requests
// at once and the other's from the next digest on.
func TestTwoGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newField(Config{QueueTimeout: time.Second}), newField(Config{QueueTimeout: time.Second})
		tell := func(running uint32) {
			one.tell("a", "north", 2, running)
			two.tell("a", "north", 2, running)
		}
		tell(0)
		g := one.must(t, ask())
		one.must(t, ask())
		h := two.must(t, ask()) // it cannot know yet: the actor refuses, and tells
		h.Rejected(&spec.Rejection{Reason: spec.RejectBusy, Load: &spec.Load{Slots: 2, Running: 2, Seq: 1}})
		_, err := two.Acquire(t.Context(), ask())
		refusal(t, err, spec.CodeBusy)
		tell(2)
		g.Release()
		if _, err = two.Acquire(t.Context(), ask()); err == nil {
			t.Error("the other gateway knew of a place that nobody had told of")
		}
		tell(1)
		two.must(t, ask())
		if f, err := one.Acquire(t.Context(), ask()); err != nil {
			t.Errorf("one of two slots is free as far as the first gateway knows: %v, %v", f, err)
		}
	})
}

func TestQueueTimeoutMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Hour})
		f.tell("a", "north", 1, 0)
		defer f.must(t, ask()).Release()
		f.SetQueueTimeout(700 * time.Millisecond)
		began := time.Now()
		_, err := f.Acquire(t.Context(), ask())
		refusal(t, err, spec.CodeBusy)
		if time.Since(began) != 700*time.Millisecond {
			t.Errorf("waited %v", time.Since(began))
		}
	})
}
