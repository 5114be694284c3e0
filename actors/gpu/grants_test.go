package gpu

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func waitsAt(gateway string, seq uint64, count int) spec.Reservation {
	return spec.Reservation{Gateway: spec.NodeID(gateway), Instance: "a", Seq: seq, Count: count, Cost: 10}
}

// TestAPlaceIsKept for the gateway that it was granted to, and counts as taken meanwhile.
func TestAPlaceIsKept(t *testing.T) {
	tab, now := newTestTable(), traceEpoch
	tab.grants = true
	in := tab.mustBeReady(t, model("a", 1, 1), 1)
	if got := tab.waits(&Waits{waitsAt("g", 1, 1)}, now); got != in {
		t.Fatalf("told %v", got)
	}
	if tab.waits(&Waits{spec.Reservation{Instance: "b"}}, now) != nil {
		t.Error("an instance that is not here was told")
	}
	l, ok := tab.next(in, now)
	if !ok || l.Gateway != "g" || l.Instance != "a" {
		t.Fatalf("granted %+v, %v", l, ok)
	}
	if d := tab.digest(in, now); d.Running != 1 || !d.Grants || tab.loadOf(in, now).Running != 1 {
		t.Errorf("told %+v", d)
	}
	if _, _, r := tab.admit(ask(1, "a"), now); r == nil || r.Reason != spec.RejectBusy {
		t.Errorf("another got it: %+v", r)
	}
	mine := ask(2, "a")
	mine.Kept, mine.Waits = l.ID, waitsAt("g", 2, 3)
	if _, _, r := tab.admit(mine, now); r != nil {
		t.Fatalf("refused: %+v", r)
	}
	if _, ok := tab.next(in, now); ok {
		t.Error("a place was granted that there is not")
	}
	tab.release(&Release{Lease: 2}, now)
	if _, ok := tab.next(in, now); !ok {
		t.Error("what the request told of others was not heard")
	}
}

func TestNothingIsGrantedWhereNothingIsServed(t *testing.T) {
	for name, bend := range map[string]func(*table, *inst){
		"draining":     func(tab *table, _ *inst) { tab.draining = true },
		"restarting":   func(tab *table, in *inst) { tab.becomes(in, restarting, nil) },
		"yielding":     func(_ *table, in *inst) { in.yielding = true },
		"nobody waits": func(tab *table, _ *inst) { tab.waits(&Waits{waitsAt("g", 2, 0)}, traceEpoch) },
	} {
		tab := newTestTable()
		in := tab.mustBeReady(t, model("a", 1, 1), 1)
		tab.waits(&Waits{waitsAt("g", 1, 1)}, traceEpoch)
		bend(tab, in)
		if l, ok := tab.next(in, traceEpoch); ok {
			t.Errorf("%s: granted %+v", name, l)
		}
	}
}

// TestPromptsHoldRequestsUp where the engine is known to read them one after the other.
func TestPromptsHoldRequestsUp(t *testing.T) {
	tab, now := newTestTable(), traceEpoch
	in := tab.mustBeReady(t, model("a", 1, 1), 8)
	in.busy.PrefillTPS = 100
	for i := range 2 {
		_, _, r := tab.admit(ask(Lease(i+1), "a"), now) // of 100 tokens: one second
		if (r == nil) != (i == 0) {
			t.Fatalf("request %d: %+v", i, r)
		}
	}
	tab.waits(&Waits{waitsAt("g", 1, 1)}, now)
	due := tab.due(in, now)
	if wait := due.Sub(now); wait < 790*time.Millisecond || wait > 810*time.Millisecond {
		t.Errorf("looks again after %v", wait)
	}
	if got := tab.firstByte(&FirstByte{Lease: 1}, now); got != in {
		t.Fatalf("got %v", got)
	}
	if _, ok := tab.next(in, now); !ok {
		t.Error("it was read, and the next was not let in")
	}
}
