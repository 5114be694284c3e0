package device

import (
	"log/slog"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Kinds of devices, and how they are asked for.
const (
	KindAuto      = "auto" // NVIDIA GPUs where there are any, else the CPU
	KindNVIDIA    = "nvidia"
	KindCPU       = "cpu"
	KindSimulated = "simulated" // only the memory is pretended: engines run for real, on the CPU
	KindNone      = "none"      // a node that runs no models
)

// A Device is one thing that models run on. It does not change while the node runs.
type Device struct {
	ID          spec.DeviceID
	Kind        string // KindNVIDIA, KindCPU or KindSimulated
	Name        string // for people
	MemoryTotal uint64 // bytes that may be promised to engines
	Index       int    // GPU's number, as the driver counts; -1: not a GPU
	UUID        string // GPU's; empty: not a GPU
}

// Healthy is a Reading's Health when nothing is wrong.
const Healthy = "ok"

// A Reading is a device's state at one moment.
type Reading struct {
	MemoryFree  uint64 // bytes, whoever uses the rest
	Utilisation uint32 // percent
	Health      string // Healthy, or why it should get no work
}

// A Config says which devices to look for and how.
type Config struct {
	Node spec.NodeID
	Kind string // empty: KindAuto

	// Simulated is the number of simulated devices.
	Simulated int
	// MemoryMB is the memory of each simulated device, and a cap on the CPU's; MiB, 0: no cap.
	MemoryMB int
	// Faults, if set, makes simulated devices ill.
	Faults *Faults

	Helper   string        // path of lotabots-engine; empty: no GPU can be seen
	Interval time.Duration // between two readings; 0: a second
	Log      *slog.Logger  // nil: none
}

const defaultInterval = time.Second

func (c Config) withDefaults() Config {
	if c.Kind == "" {
		c.Kind = KindAuto
	}
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
