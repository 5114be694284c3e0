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
// processes have in RAM.
func TestMeasuredMemoryRaisesTheNextReservation(t *testing.T) {
	a := learner(t, device.KindCPU)
	in := a.served(t, "a", 1, 100, stub{slots: 2})
	for _, bytes := range []uint64{150, 200, 180} {
		if !a.table.measure(&instance.Measured{Instance: "a", Run: in.run, Load: engine.Load{Resident: bytes}}) {
			t.Fatal("a measurement is not heard")
		}
		a.learn(in)
	}
	d := a.table.digest(in)
	if d.MemoryReserved != 100 || d.MemoryMeasured != 200 {
		t.Errorf("reserved %d, measured %d", d.MemoryReserved, d.MemoryMeasured)
	}
	if got := a.reserve(model("b", 2, 100)); got != 204 {
		t.Errorf("the next of its kind has %d reserved, not a fiftieth more than 200", got)
	}
	if got := a.reserve(model("b", 2, 500)); got != 500 {
		t.Errorf("%d, less than was asked for", got)
	}
	other := model("b", 2, 100)
	other.Slots = 99
	if got := a.reserve(other); got != 100 {
		t.Errorf("%d with other slots", got)
	}
	a.cfg.Learnt.Note(memory.KeyOf(other, "G"), 5000, time.Now())
	if got := a.reserve(other); got != 1000 {
		t.Errorf("%d on a device of 1000", got)
	}
}

// TestGPUMemoryIsWeighedByProcess: on a GPU what counts is on the card.
func TestGPUMemoryIsWeighedByProcess(t *testing.T) {
	a := learner(t, device.KindNVIDIA)
	in := a.served(t, "a", 1, 100, behind{possessive{stub{slots: 2}, []int{10, 11}}})
	a.served(t, "b", 2, 100, stub{slots: 2})
	a.table.measure(&instance.Measured{Instance: "a", Run: in.run, Load: engine.Load{Resident: 900}})
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
