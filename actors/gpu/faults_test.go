package gpu

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// pids is an engine that knows its processes.
type pids struct {
	stub
	own int
}

func (p pids) Owns(pid int) bool { return pid == p.own }

// wrapped is an engine inside another, as instances have it.
type wrapped struct{ engine.Engine }

func (w wrapped) Unwrap() engine.Engine { return w.Engine }

func ids(all []*inst) (out []string) {
	for _, in := range all {
		out = append(out, string(in.id))
	}
	return out
}

// TestVictims: an error of a process is its engine's alone, one of an unknown process everybody's.
func TestVictims(t *testing.T) {
	tab := newTestTable()
	for i, id := range []string{"a", "b"} {
		tab.becomes(tab.mustAdd(t, model(id, 1, 100)), isReady, wrapped{pids{stub{slots: 2}, 100 + i}})
	}
	for pid, expected := range map[int]string{0: "a b", 100: "a", 101: "b", 999: ""} {
		_, restart, end := tab.happened(device.XidEvent(31, pid))
		if got := strings.Join(ids(restart), " "); got != expected || len(end) != 0 || tab.quarantined() {
			t.Errorf("process %d: %s restart, want %s; %s end", pid, got, expected, ids(end))
		}
	}
	tab.mustAdd(t, model("c", 1, 100)) // starts: it does not know its processes yet
	waits := tab.mustAdd(t, model("d", 1, 0))
	waits.waiting = true
	if _, restart, _ := tab.happened(device.XidEvent(31, 999)); strings.Join(ids(restart), " ") != "c" {
		t.Errorf("a process that nobody knows: %s", ids(restart))
	}
	if _, restart, _ := tab.happened(device.XidEvent(31, 101)); strings.Join(ids(restart), " ") != "b" {
		t.Errorf("a process that b knows: %s", ids(restart))
	}
}

// TestQuarantine: no more work, while what runs goes on; it ends by a Resume alone.
func TestQuarantine(t *testing.T) {
	tab := newTestTable()
	now := time.Now()
	in := tab.mustBeReady(t, model("a", 1, 100), 2)
	if _, _, r := tab.admit(ask(1, "a"), now); r != nil {
		t.Fatal(r)
	}
	tab.reading, tab.sampled = device.Reading{Health: device.Healthy, MemoryFree: 900}, true
	if news, restart, end := tab.happened(device.XidEvent(48, 0)); !news || len(restart)+len(end) != 0 {
		t.Errorf("news %v, %v, %v", news, restart, end)
	}
	if news, _, _ := tab.happened(device.XidEvent(64, 0)); news {
		t.Error("a second fault is news")
	}
	if d := tab.snapshot(traceEpoch); d.Health != "xid 48: double bit memory error" || d.Instances[0].Running != 1 || d.Instances[0].State != isReady {
		t.Errorf("%v", d)
	}
	if _, _, r := tab.admit(ask(2, "a"), now); r == nil || r.Reason != spec.RejectUnhealthy {
		t.Errorf("admitted: %+v", r)
	}
	if tab.loadOf(in, traceEpoch).Ready {
		t.Error("it is told to be ready")
	}
	_, err := tab.add(model("b", 1, 100), fine)
	wantCode(t, err, spec.CodeEngineUnavailable)
	if got, stop := tab.release(&Release{Lease: 1}, now); got != in || stop {
		t.Error("the running request was lost")
	}
	if news, _, end := tab.happened(device.XidEvent(79, 0)); !news || len(end) != 1 || !in.leaving {
		t.Errorf("gone after all: news %v, %v", news, ids(end))
	}
}

// TestGone: every instance ends, whatever it was doing, and nobody is stopped twice.
func TestGone(t *testing.T) {
	tab := newTestTable()
	tab.mustBeReady(t, model("serves", 1, 100), 2)
	tab.mustAdd(t, model("loads", 1, 100))
	leaves := tab.mustBeReady(t, model("leaves", 1, 100), 2)
	if _, err := tab.remove(&wire.UnloadModel{Instance: "leaves", Epoch: 1}); err != nil || !leaves.leaving {
		t.Fatal(err)
	}
	m := model("cold", 1, 100)
	m.OnDemand = true
	tab.mustAdd(t, m)
	m = model("sleeps", 1, 100)
	m.OnDemand = true
	asleep := tab.mustBeReady(t, m, 2)
	tab.sleep(asleep)
	news, _, end := tab.happened(device.Event{Kind: device.Gone, Text: "lost"})
	if got := strings.Join(ids(end), " "); !news || got != "loads serves" {
		t.Errorf("news %v, %s end", news, got)
	}
	if news, _, end := tab.happened(device.Event{Kind: device.Gone, Text: "lost"}); news || len(end) != 0 {
		t.Errorf("again: %v", ids(end))
	}
	if start, stop := tab.arrange(time.Now().Add(time.Hour)); len(start)+len(stop) != 0 {
		t.Errorf("%v start, %v stop", start, stop)
	}
	for _, in := range []*inst{leaves, asleep, end[0], end[1]} {
		tab.ended(in)
	}
	if len(tab.instances) != 0 {
		t.Errorf("left: %v", tab.instances)
	}
}

// TestShareLowersTheSlots: rounded up, so that nobody starves.
func TestShareLowersTheSlots(t *testing.T) {
	tab := newTestTable()
	in := tab.mustBeReady(t, model("a", 1, 100), 4)
	tab.sampled = true
	for share, expected := range map[float64]int{0: 4, 1: 4, 0.95: 4, 0.75: 3, 0.5: 2, 0.3: 2, 0.25: 1, 0.05: 1} {
		tab.reading = device.Reading{Health: device.Healthy, MemoryFree: 900, Share: share}
		if got := tab.snapshot(traceEpoch).Instances[0].Slots; int(got) != expected || tab.loadOf(in, traceEpoch).Slots != expected {
			t.Errorf("a share of %g gives %d slots, want %d", share, got, expected)
		}
	}
	tab.reading.Share = 0.5
	now := time.Now()
	for l := range Lease(2) {
		if _, _, r := tab.admit(ask(l, "a"), now); r != nil {
			t.Error(r)
		}
	}
	if _, _, r := tab.admit(ask(9, "a"), now); r == nil || r.Reason != spec.RejectBusy {
		t.Errorf("a third request: %+v", r)
	}
}

// TestFaultsAtAnyTime: whatever has happened before, a table in quarantine starts nothing and admits
// nobody, one that is gone has no instance that is not leaving, and its digest fits.
func TestFaultsAtAnyTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := newTestTable()
		now := time.Unix(1_700_000_000, 0)
		for i := range rapid.IntRange(0, 6).Draw(t, "instances") {
			m := model(string(rune('a'+i)), 1, rapid.Uint64Range(0, 400).Draw(t, "memory"))
			m.OnDemand = rapid.Bool().Draw(t, "on demand")
			if _, err := tab.add(m, fine); err != nil {
				continue
			}
			in := tab.instances[spec.InstanceID(m.Instance)]
			if !in.waiting && !m.OnDemand && rapid.Bool().Draw(t, "ready") {
				tab.becomes(in, isReady, stub{slots: 2})
			}
		}
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			e := device.Event{Kind: rapid.SampledFrom([]device.Kind{device.Notice, device.AppFault, device.DeviceFault, device.Gone}).Draw(t, "kind"),
				PID: rapid.IntRange(0, 2).Draw(t, "pid"), Text: strings.Repeat("é", rapid.IntRange(0, 300).Draw(t, "text"))}
			before := tab.fault
			_, restart, end := tab.happened(e)
			for _, in := range append(restart, end...) {
				if in.waiting || in.spent {
					t.Fatalf("%s has no actor", in.id)
				}
			}
			if before.Kind != "" && !tab.quarantined() || before.Kind == device.Gone && tab.fault != before {
				t.Fatalf("%+v made %+v of %+v", e, tab.fault, before)
			}
		}
		for id, in := range tab.instances {
			_, _, r := tab.admit(&Admit{Lease: 1, Instance: id, Deployment: in.load.Deployment}, now)
			if tab.quarantined() && r == nil || tab.fault.Kind == device.Gone && !in.leaving {
				t.Fatalf("%s: %+v, leaving %v", id, r, in.leaving)
			}
		}
		if start, _ := tab.arrange(now); tab.quarantined() && len(start) > 0 {
			t.Fatalf("%v start", ids(start))
		}
		if !fitting(Parts(tab.snapshot(traceEpoch))) {
			t.Fatal("the digest does not fit")
		}
	})
}
