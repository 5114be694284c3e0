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
	Index       int    // GPU's or slice's number, as the driver counts; -1: not a GPU
	UUID        string // GPU's or MIG slice's, as CUDA_VISIBLE_DEVICES takes it; empty: not a GPU
	Parent      string // of a MIG slice: the UUID of the GPU that it is a part of
	Links       []Link // how it reaches other devices of this machine; of a slice: its GPU's
	Driver      string // version of the driver; empty: not a GPU
	CUDA        string // the newest version of CUDA that the driver serves
}

// A Link is the shortest way between two GPUs of one machine.
type Link struct {
	To spec.DeviceID
	By string // LinkNVLink, LinkPCIe or LinkNUMA
}

// What a Link goes by, the fastest first.
const (
	LinkNVLink = "nvlink"
	LinkPCIe   = "pcie" // no host bridge between them
	LinkNUMA   = "numa" // the memory of one processor
)

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
	// FaultFile, if set, names a file that does so too: see faultFile.
	FaultFile string

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
