package gpu

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	loading    = wire.InstanceState_INSTANCE_STATE_LOADING
	isReady    = wire.InstanceState_INSTANCE_STATE_READY
	draining   = wire.InstanceState_INSTANCE_STATE_DRAINING
	failed     = wire.InstanceState_INSTANCE_STATE_FAILED
	restarting = wire.InstanceState_INSTANCE_STATE_RESTARTING
	gone       = wire.InstanceState_INSTANCE_STATE_GONE
	cold       = wire.InstanceState_INSTANCE_STATE_COLD
)

// stub is an engine that does nothing: the table only hands it on.
type stub struct {
	engine.Engine
	slots, context uint32
}

func (s stub) Slots() uint32   { return s.slots }
func (s stub) Context() uint32 { return s.context }
func (s stub) Do(context.Context, string, engine.Head, []byte) (*http.Response, error) {
	panic("not asked")
}

func fine(*wire.LoadModel) error { return nil }

func newTestTable() *table {
	return newTable(device.Device{ID: "gpu/1", Kind: "simulated", Name: "SIMULATED 1", MemoryTotal: 1000})
}

func model(id string, epoch, memory uint64) *wire.LoadModel {
	return &wire.LoadModel{Instance: id, Deployment: "d", Version: 3, Epoch: epoch, Model: "m", Engine: "embedded", MemoryBytes: memory}
}

func (t *table) mustAdd(tb testing.TB, m *wire.LoadModel) *inst {
	tb.Helper()
	if _, err := t.add(m, fine); err != nil {
		tb.Fatal(err)
	}
	return t.instances[spec.InstanceID(m.Instance)]
}

func (t *table) becomes(in *inst, s wire.InstanceState, e engine.Engine) *inst {
	return t.change(changedTo(in, s, e), time.Unix(1_700_000_000, 0))
}

func changedTo(in *inst, s wire.InstanceState, e engine.Engine) *instance.Changed {
	return &instance.Changed{Instance: in.id, Run: in.run, State: s, Engine: e}
}

// buried ends the instance's actor, and returns what may start then.
func (t *table) buried(in *inst) []*inst {
	t.ended(in)
	start, _ := t.arrange(time.Unix(1_700_000_000, 0))
	return start
}

func (t *table) mustBeReady(tb testing.TB, m *wire.LoadModel, slots uint32) *inst {
	in := t.mustAdd(tb, m)
	t.becomes(in, isReady, stub{slots: slots})
	return in
}

func ask(l Lease, id string) *Admit {
	return &Admit{Lease: l, Instance: spec.InstanceID(id), Deployment: "d", Version: 3, PromptTokens: 100}
}

func wantCode(tb testing.TB, err error, code spec.Code) {
	tb.Helper()
	if err == nil || spec.CodeOf(err) != code {
		tb.Errorf("error %v, want %s", err, code)
	}
}

func TestMemoryIsReservedBeforeTheStart(t *testing.T) {
	tab := newTestTable()
	if do, err := tab.add(model("a", 1, 600), fine); err != nil || do.start == nil {
		t.Fatalf("%+v, %v", do, err)
	}
	_, err := tab.add(model("b", 2, 600), fine)
	wantCode(t, err, spec.CodeOutOfMemory)
	if tab.free() != 400 || len(tab.instances) != 1 {
		t.Errorf("free %d with %d instances", tab.free(), len(tab.instances))
	}
	if do, err := tab.add(model("a", 1, 600), fine); err != nil || do.start != nil {
		t.Errorf("the same again: %+v, %v; want it confirmed and not started twice", do, err)
	}
}

func TestFailedInstancesHoldNoMemory(t *testing.T) {
	tab := newTestTable()
	in := tab.mustAdd(t, model("a", 1, 900))
	tab.becomes(in, failed, nil)
	if tab.free() != 1000 {
		t.Errorf("free %d, want all", tab.free())
	}
	do, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1, Drain: true})
	if err != nil || do.stop != in {
		t.Fatalf("unload of a failed one: %+v, %v; want it stopped at once", do, err)
	}
	tab.ended(in)
	if i := tab.snapshot(traceEpoch).Instances; len(i) != 1 || i[0].State != gone {
		t.Errorf("told %v, want that it is gone", i)
	}
}

// TestWaitsForMemoryOnItsWay: a replacement is accepted while what it replaces
// still drains, and starts when that is gone.
func TestWaitsForMemoryOnItsWay(t *testing.T) {
	tab := newTestTable()
	old := tab.mustBeReady(t, model("old", 1, 900), 2)
	tab.admit(ask(1, "old"), time.Now())
	if do, err := tab.remove(&wire.UnloadModel{Instance: "old", Epoch: 1, Drain: true}); err != nil || do.stop != nil || old.state != draining {
		t.Fatalf("%+v, %v, %s", do, err, old.state)
	}
	do, err := tab.add(model("new", 2, 800), fine)
	if err != nil || do.start != nil || !tab.instances["new"].waiting {
		t.Fatalf("%+v, %v; want it to wait", do, err)
	}
	_, err = tab.add(model("third", 3, 300), fine)
	wantCode(t, err, spec.CodeOutOfMemory) // promised to new
	if in, stop := tab.release(&Release{Lease: 1}, time.Now()); in != old || !stop {
		t.Fatalf("the last release stops a draining instance: %v %v", in, stop)
	}
	if start := tab.buried(old); len(start) != 1 || start[0].id != "new" || start[0].waiting {
		t.Fatalf("to start: %v", start)
	}
	if tab.free() != 200 {
		t.Errorf("free %d", tab.free())
	}
}

func TestWaitingInstanceMayBeUnloaded(t *testing.T) {
	tab := newTestTable()
	tab.mustBeReady(t, model("old", 1, 900), 1)
	tab.admit(ask(1, "old"), time.Now())
	if _, err := tab.remove(&wire.UnloadModel{Instance: "old", Epoch: 1, Drain: true}); err != nil {
		t.Fatal(err)
	}
	tab.mustAdd(t, model("new", 2, 800))
	if do, err := tab.remove(&wire.UnloadModel{Instance: "new", Epoch: 2}); err != nil || do.stop != nil {
		t.Fatalf("%+v, %v", do, err)
	}
	if start := tab.buried(tab.instances["old"]); len(start) != 0 {
		t.Errorf("started %v", start)
	}
}

// TestOthersMemoryCounts: what other processes took is not given away, and what a
// loading engine has yet to take is not taken twice.
func TestOthersMemoryCounts(t *testing.T) {
	tab := newTestTable()
	tab.reading, tab.sampled = device.Reading{MemoryFree: 500, Health: device.Healthy}, true
	_, err := tab.add(model("a", 1, 600), fine)
	wantCode(t, err, spec.CodeOutOfMemory)
	in := tab.mustAdd(t, model("b", 2, 400))
	if tab.free() != 100 {
		t.Errorf("while it loads: free %d, want 100", tab.free())
	}
	tab.becomes(in, isReady, stub{slots: 1})
	tab.reading.MemoryFree = 90 // the engine took its share, and a little more
	if tab.free() != 90 {
		t.Errorf("once it is ready: free %d, want 90", tab.free())
	}
	tab.reading = device.Reading{Health: "lost"} // says nothing about memory
	if tab.free() != 600 {
		t.Errorf("without a reading: free %d, want 600", tab.free())
	}
}

func TestStaleEpochsAreRefused(t *testing.T) {
	tab := newTestTable()
	in := tab.mustBeReady(t, model("a", 10, 100), 1)
	_, err := tab.add(model("a", 9, 100), fine)
	wantCode(t, err, spec.CodeStaleEpoch)
	_, err = tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 9})
	wantCode(t, err, spec.CodeStaleEpoch)
	if in.state != isReady {
		t.Fatalf("a stale command made it %s", in.state)
	}
	if _, err := tab.add(model("a", 11, 100), fine); err != nil || in.epoch != 11 || in.state != isReady {
		t.Errorf("a newer placement of the same: %v, epoch %d, %s", err, in.epoch, in.state)
	}
	other := model("a", 12, 100)
	other.Version = 4
	_, err = tab.add(other, fine)
	wantCode(t, err, spec.CodeConflict)
	if _, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 12}); err != nil {
		t.Fatal(err)
	}
	tab.ended(in)
	_, err = tab.add(model("a", 11, 100), fine) // was long under way
	wantCode(t, err, spec.CodeStaleEpoch)
}

func TestEpochsAreBounded(t *testing.T) {
	e := newEpochs(3)
	for i := range 10 {
		if err := e.admit(spec.InstanceID(fmt.Sprint(i)), 5); err != nil {
			t.Fatal(err)
		}
	}
	if len(e.seen) != 3 || len(e.order) != 3 {
		t.Errorf("%d, %d kept, want 3", len(e.seen), len(e.order))
	}
	wantCode(t, e.admit("9", 4), spec.CodeStaleEpoch)
	if err := e.admit("0", 1); err != nil {
		t.Errorf("a forgotten one: %v", err)
	}
}

func TestChecksComeFirst(t *testing.T) {
	tab := newTestTable()
	_, err := tab.add(model("a", 1, 1), func(*wire.LoadModel) error { return spec.Errorf(spec.CodeEngineUnknown, "no") })
	wantCode(t, err, spec.CodeEngineUnknown)
	_, err = tab.add(model("", 1, 1), fine)
	wantCode(t, err, spec.CodeInvalidRequest)
	_, err = tab.add(model(strings.Repeat("x", maxName+1), 1, 1), fine)
	wantCode(t, err, spec.CodeInvalidRequest)
	_, err = tab.remove(&wire.UnloadModel{})
	wantCode(t, err, spec.CodeInvalidRequest)
	tab.draining = true
	_, err = tab.add(model("b", 1, 1), fine)
	wantCode(t, err, spec.CodeDraining)
	if len(tab.instances) != 1 {
		t.Errorf("%d instances", len(tab.instances))
	}
}

// TestRefusedInstanceSaysWhy: what cannot run here is told as failed, with the
// reason, holds no memory, and goes when it is unloaded.
func TestRefusedInstanceSaysWhy(t *testing.T) {
	tab := newTestTable()
	free := tab.free()
	_, err := tab.add(model("a", 1, 1<<20), func(*wire.LoadModel) error {
		return spec.Errorf(spec.CodeEngineUnavailable, "ollama is not on this machine")
	})
	wantCode(t, err, spec.CodeEngineUnavailable)
	told := tab.snapshot(traceEpoch).GetInstances()
	if len(told) != 1 || told[0].GetState() != wire.InstanceState_INSTANCE_STATE_FAILED || told[0].GetReason() != "ollama is not on this machine" {
		t.Fatalf("the digest tells %v", told)
	}
	if tab.free() != free {
		t.Errorf("%d bytes are free, %d before", tab.free(), free)
	}
	if do, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1}); err != nil || do.stop != nil || len(tab.instances) != 0 {
		t.Errorf("unloading it: %v, %v", do, err)
	}
	if told := tab.snapshot(traceEpoch).GetInstances(); len(told) != 1 || told[0].GetState() != wire.InstanceState_INSTANCE_STATE_GONE {
		t.Errorf("the digest tells %v afterwards", told)
	}
}

func TestAdmissions(t *testing.T) {
	cases := []struct {
		name   string
		bend   func(*table, *inst)
		ask    *Admit
		reason string
	}{
		{"a free slot", func(*table, *inst) {}, ask(1, "a"), ""},
		{"any version", func(*table, *inst) {}, &Admit{Lease: 1, Instance: "a", Deployment: "d"}, ""},
		{"an unknown instance", func(*table, *inst) {}, ask(1, "b"), spec.RejectNotLoaded},
		{"another deployment", func(*table, *inst) {}, &Admit{Instance: "a", Deployment: "e", Version: 3}, spec.RejectNotLoaded},
		{"another version", func(*table, *inst) {}, &Admit{Instance: "a", Deployment: "d", Version: 4}, spec.RejectStale},
		{"a draining device", func(t *table, _ *inst) { t.draining = true }, ask(1, "a"), spec.RejectDraining},
		{"a draining instance", func(t *table, in *inst) { in.state = draining }, ask(1, "a"), spec.RejectDraining},
		{"a crashed engine", func(t *table, in *inst) { t.becomes(in, restarting, nil) }, ask(1, "a"), spec.RejectUnhealthy},
		{"a failed one", func(t *table, in *inst) { t.becomes(in, failed, nil) }, ask(1, "a"), spec.RejectUnhealthy},
		{"a loading one", func(t *table, in *inst) { t.becomes(in, loading, nil) }, ask(1, "a"), spec.RejectNotLoaded},
		{"all slots taken", func(t *table, _ *inst) {
			t.admit(ask(7, "a"), time.Now())
			t.admit(ask(8, "a"), time.Now())
		}, ask(1, "a"), spec.RejectBusy},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tab := newTestTable()
			in := tab.mustBeReady(t, model("a", 1, 1), 2)
			c.bend(tab, in)
			before := in.leases
			e, _, r := tab.admit(c.ask, time.Now())
			switch {
			case c.reason == "" && (r != nil || e == nil || in.leases != 1):
				t.Errorf("not admitted: %v, %d leases", r, in.leases)
			case c.reason != "" && (r == nil || r.Reason != c.reason || e != nil || in.leases != before):
				t.Errorf("got %+v, want %s", r, c.reason)
			case c.reason == spec.RejectBusy && r.RetryAfter < minRetry:
				t.Errorf("retry after %s", r.RetryAfter)
			}
		})
	}
}

func TestReleaseGivesThePlaceBackOnce(t *testing.T) {
	tab := newTestTable()
	in := tab.mustBeReady(t, model("a", 1, 1), 1)
	begin := time.Now()
	tab.admit(ask(1, "a"), begin)
	if in.unread != 100 {
		t.Errorf("backlog of %d tokens, want 100", in.unread)
	}
	tab.firstByte(&FirstByte{Lease: 1}, begin)
	r := &Release{Lease: 1, PromptTokens: 200, CompletionTokens: 51, Prefill: 100 * time.Millisecond, Decode: time.Second}
	if got, stop := tab.release(r, begin.Add(2*time.Second)); got != in || stop {
		t.Fatalf("released %v, stop %v", got, stop)
	}
	if got, _ := tab.release(r, begin); got != nil {
		t.Error("a lease was released twice")
	}
	if in.leases != 0 || in.unread != 0 || in.prefill != 2000 || in.decode != 50 {
		t.Errorf("leases %d, unread %d, prefill %v, decode %v", in.leases, in.unread, in.prefill, in.decode)
	}
	if in.retryAfter() != 2*time.Second {
		t.Errorf("retry after %s, want the 2 s that the slot was held", in.retryAfter())
	}
}

// TestEarlierRunIsNotHeard: what an instance's former actor still says has no effect.
func TestEarlierRunIsNotHeard(t *testing.T) {
	tab := newTestTable()
	first := tab.mustAdd(t, model("a", 1, 1))
	if _, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	tab.ended(first)
	second := tab.mustAdd(t, model("a", 2, 1))
	tab.becomes(first, isReady, stub{slots: 1})
	if second.state != loading || tab.measure(&instance.Measured{Instance: "a", Run: first.run}, time.Now()) {
		t.Errorf("the second is %s", second.state)
	}
	if tab.buried(first) != nil || tab.instances["a"] != second {
		t.Error("the first's end took the second away")
	}
}

func TestForcedUnloadDoesNotWait(t *testing.T) {
	tab := newTestTable()
	in := tab.mustBeReady(t, model("a", 1, 1), 1)
	tab.admit(ask(1, "a"), time.Now())
	if do, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1, Drain: true}); err != nil || do.stop != nil {
		t.Fatal(do, err)
	}
	if do, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1}); err != nil || do.stop != in {
		t.Fatalf("%+v, %v", do, err)
	}
	if do, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1}); err != nil || do.stop != nil {
		t.Fatalf("again: %+v, %v", do, err)
	}
	if _, stop := tab.release(&Release{Lease: 1}, time.Now()); stop {
		t.Error("it was stopped twice")
	}
}

func TestDrainingEndsWithItsEngine(t *testing.T) {
	tab := newTestTable()
	in := tab.mustBeReady(t, model("a", 1, 1), 1)
	tab.admit(ask(1, "a"), time.Now())
	if _, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1, Drain: true}); err != nil {
		t.Fatal(err)
	}
	if stop := tab.becomes(in, restarting, nil); stop != in {
		t.Error("an instance that drains was restarted")
	}
}

func TestAFailedInstanceStaysFailed(t *testing.T) {
	tab := newTestTable()
	b := tab.mustAdd(t, model("b", 1, 430))
	tab.becomes(b, failed, nil)
	if do, err := tab.add(model("a", 1, 571), fine); err != nil || do.start == nil {
		t.Fatalf("%+v, %v: the failed one's memory is free", do, err)
	}
	tab.becomes(b, isReady, stub{slots: 2})
	if all, _ := tab.reserved(); all != 571 || b.state != failed {
		t.Fatalf("%d bytes are reserved and b is %v", all, b.state)
	}
}
