package gpu

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// possessive is an engine that knows its processes.
type possessive struct {
	stub
	pids []int
}

func (p possessive) Owns(pid int) bool { return slices.Contains(p.pids, pid) }

// behind is an engine that is watched.
type behind struct{ engine.Engine }

func (b behind) Unwrap() engine.Engine { return b.Engine }

func learner(t *testing.T, kind string) *Actor {
	t.Helper()
	learnt, err := memory.OpenLearnt(filepath.Join(t.TempDir(), "learnt.json"))
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Device: device.Device{ID: "gpu/1", Kind: kind, Name: "G", MemoryTotal: 1000}, Learnt: learnt, Log: slog.New(slog.DiscardHandler), Now: time.Now})
}

func (a *Actor) served(t *testing.T, id string, epoch, bytes uint64, e engine.Engine) *inst {
	t.Helper()
	m := model(id, epoch, bytes)
	m.MemoryBytes = a.reserve(m)
	in := a.table.mustAdd(t, m)
	a.table.becomes(in, isReady, e)
	return in
}

// TestMeasuredMemoryRaisesTheNextReservation on the CPU, by what the engine's
// processes have in RAM at all times: what a request took on top of that is shown, no more.
func TestMeasuredMemoryRaisesTheNextReservation(t *testing.T) {
	a := learner(t, device.KindCPU)
	in := a.served(t, "a", 1, 100, stub{slots: 2})
	for _, bytes := range []uint64{180, 1200, 150, 1000} {
		if !a.table.measure(&instance.Measured{Instance: "a", Run: in.run, Load: engine.Load{Resident: bytes}}, time.Now()) {
			t.Fatal("a measurement is not heard")
		}
		a.learn(in)
	}
	d := a.table.digest(in, traceEpoch)
	if d.MemoryReserved != 100 || d.MemoryMeasured != 1200 {
		t.Errorf("reserved %d, measured %d", d.MemoryReserved, d.MemoryMeasured)
	}
	if got := a.reserve(model("b", 2, 100)); got != 153 {
		t.Errorf("the next of its kind has %d reserved, not a fiftieth more than 150", got)
	}
	if got := a.reserve(model("b", 2, 500)); got != 500 {
		t.Errorf("%d, less than was asked for", got)
	}
	other := model("b", 2, 100)
	other.Slots = 99
	if got := a.reserve(other); got != 100 {
		t.Errorf("%d with other slots", got)
	}
	a.cfg.Learnt.Note(memory.KeyOf(other, "G"), "x", 5000, time.Now())
	if got := a.reserve(other); got != 200 {
		t.Errorf("%d by the word of one load", got)
	}
}

// named is an engine that knows which it is.
type named struct {
	stub
	name string
}

func (n named) Identity() string { return n.name }

// TestALoadIsOneEngine: one that was taken over is the same, one that was started again
// after a crash is another.
func TestALoadIsOneEngine(t *testing.T) {
	a := learner(t, device.KindCPU)
	seen := func(a *Actor, in *inst, bytes uint64) {
		a.table.measure(&instance.Measured{Instance: in.id, Run: in.run, Load: engine.Load{Resident: bytes}}, time.Now())
		a.learn(in)
	}
	loads := func() int { return a.cfg.Learnt.Of(memory.KeyOf(model("a", 1, 100), "G"), time.Now()).Loads }
	in := a.served(t, "a", 1, 100, behind{named{stub{slots: 2}, "71 12345"}})
	seen(a, in, 120)
	next := New(a.cfg) // the node's next process, whose born is another
	over := next.served(t, "a", 1, 100, behind{named{stub{slots: 2}, "71 12345"}})
	seen(next, over, 130)
	if n := loads(); n != 1 {
		t.Errorf("%d loads of one engine", n)
	}
	next.table.becomes(over, wire.InstanceState_INSTANCE_STATE_RESTARTING, nil)
	next.table.becomes(over, isReady, behind{named{stub{slots: 2}, "72 22345"}})
	if over.steady != 0 || over.measured != 130 {
		t.Errorf("of the engine before, %d and %d are left", over.steady, over.measured)
	}
	seen(next, over, 110)
	if n := loads(); n != 2 {
		t.Errorf("%d loads of two engines", n)
	}
	next.table.becomes(over, wire.InstanceState_INSTANCE_STATE_RESTARTING, nil)
	next.table.becomes(over, isReady, stub{slots: 2}) // one that cannot tell
	seen(next, over, 110)
	if n := loads(); n != 3 {
		t.Errorf("%d loads of three engines", n)
	}
}

// TestMemoryIsLearntOfEveryDevice that an instance spreads over: what its engine's
// processes have on another is told to the owner, and shown there.
func TestMemoryIsLearntOfEveryDevice(t *testing.T) {
	owner, host := learner(t, device.KindNVIDIA), learner(t, device.KindNVIDIA)
	m := model("a", 1, 100)
	m.Devices = []string{"gpu/2"}
	in := owner.table.mustAdd(t, m)
	e := behind{possessive{stub{slots: 2}, []int{10}}}
	owner.table.becomes(in, isReady, e)
	if err := host.table.reserve(&Reserve{Instance: "a", Deployment: "chat", Epoch: 1, Bytes: 100}); err != nil {
		t.Fatal(err)
	}
	host.table.arrange(time.Now())
	host.table.settled(&Settled{Instance: "a", Epoch: 1, Engine: e})
	more := host.table.weigh([]device.Process{{PID: 10, Memory: 170}, {PID: 12, Memory: 400}})
	if len(more) != 1 || more[0].guest == nil || more[0].measured != 170 {
		t.Fatalf("%v", more)
	}
	shown := host.table.hosted()
	if len(shown) != 1 || shown[0].Deployment != "chat" || shown[0].MemoryReserved != 100 || shown[0].MemoryMeasured != 170 {
		t.Errorf("shown is %v", shown)
	}
	owner.learn(owner.table.measuredElsewhere(&GuestMeasured{Instance: "a", Epoch: 1, Device: "gpu/2", Bytes: 170}))
	again := model("b", 2, 100)
	again.Devices = []string{"gpu/2"}
	if got := owner.reserve(again); got != 173 {
		t.Errorf("the next of its kind has %d reserved on each", got)
	}
	if got := owner.reserve(model("c", 3, 100)); got != 100 {
		t.Errorf("one device alone: %d", got)
	}
	if owner.table.measuredElsewhere(&GuestMeasured{Instance: "a", Epoch: 1, Device: "gpu/9", Bytes: 1}) != nil {
		t.Error("a device that it does not spread over is believed")
	}
}

// TestGPUMemoryIsWeighedByProcess: on a GPU what counts is on the card.
func TestGPUMemoryIsWeighedByProcess(t *testing.T) {
	a := learner(t, device.KindNVIDIA)
	in := a.served(t, "a", 1, 100, behind{possessive{stub{slots: 2}, []int{10, 11}}})
	a.served(t, "b", 2, 100, stub{slots: 2})
	a.table.measure(&instance.Measured{Instance: "a", Run: in.run, Load: engine.Load{Resident: 900}}, time.Now())
	if in.measured != 0 {
		t.Errorf("%d bytes of the host's memory count for the card", in.measured)
	}
	more := a.table.weigh([]device.Process{{PID: 10, Memory: 70}, {PID: 11, Memory: 50}, {PID: 12, Memory: 400}})
	if len(more) != 1 || more[0].id != spec.InstanceID("a") || in.measured != 120 {
		t.Errorf("%v, measured %d", more, in.measured)
	}
	if more := a.table.weigh([]device.Process{{PID: 10, Memory: 60}}); len(more) != 0 || in.measured != 120 {
		t.Errorf("less is news: %v, %d", more, in.measured)
	}
}
