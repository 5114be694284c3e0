package nvml

import "errors"

// ErrNotCompiled is the answer of a build without cgo.
var ErrNotCompiled = errors.New("this build has no NVML: build lotabots-engine with CGO_ENABLED=1 and a C compiler to see GPUs")

// A Device is one GPU, or one MIG slice of a GPU, at one moment. Its fields are a line of
// lotabots-engine devices; what the GPU does not tell is 0 or missing. Fields are only ever added:
// the reader leaves aside those that it does not know.
type Device struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	MemoryTotal uint64 `json:"memory_total"` // bytes
	MemoryFree  uint64 `json:"memory_free"`  // bytes
	// Utilisation is the part of the last sampling period in which a kernel ran, 0 to 1; -1: unknown.
	Utilisation float64 `json:"utilisation"`
	Health      Health  `json:"health"`

	// What does not change; listings have it, readings do not.
	Parent string `json:"parent,omitempty"` // of a MIG slice: the UUID of its GPU
	Driver string `json:"driver,omitempty"` // version
	CUDA   string `json:"cuda,omitempty"`   // the newest version that the driver serves
	Links  []Link `json:"links,omitempty"`

	TemperatureC float64  `json:"temperature_c,omitempty"`
	PowerW       float64  `json:"power_w,omitempty"`
	PowerLimitW  float64  `json:"power_limit_w,omitempty"`
	ClockMHz     uint32   `json:"clock_mhz,omitempty"` // of the multiprocessors
	ClockMaxMHz  uint32   `json:"clock_max_mhz,omitempty"`
	Throttle     []string `json:"throttle,omitempty"` // what slows the clocks: power, thermal, power_brake, sync, hw_slowdown
	ECC          *ECC     `json:"ecc,omitempty"`
	Rows         *Rows    `json:"rows,omitempty"`
	Recovery     string   `json:"recovery,omitempty"` // what the driver asks for, to mend the GPU
	// Processes are those with memory on the device, as of the last ten seconds.
	Processes []Process `json:"processes,omitempty"`
}

// Health says whether a GPU can be trusted with work.
type Health string

// What Health can be.
const (
	OK       Health = "ok"
	Degraded Health = "degraded" // it answers, but reports uncorrected memory errors
	Lost     Health = "lost"     // the driver has lost it
	Mute     Health = "mute"     // it does not answer, and nobody says why
)

// ECC counts memory errors: volatile ones since the driver was loaded, aggregate ones since the card was made.
type ECC struct {
	Corrected            uint64 `json:"corrected"`
	Uncorrected          uint64 `json:"uncorrected"`
	CorrectedAggregate   uint64 `json:"corrected_aggregate"`
	UncorrectedAggregate uint64 `json:"uncorrected_aggregate"`
}

// Rows is what became of damaged memory: rows remapped (since Ampere), or pages retired (before).
type Rows struct {
	Corrected   int  `json:"corrected"`   // remapped, or pages retired, after corrected errors
	Uncorrected int  `json:"uncorrected"` // and after uncorrected ones
	Pending     bool `json:"pending"`     // waits for a reset of the GPU
	Failed      bool `json:"failed"`      // no spare row was left
}

// A Process has memory on the device.
type Process struct {
	PID    uint32 `json:"pid"`
	Memory uint64 `json:"memory"` // bytes; 0: not told
}

// A Link is the shortest way to another GPU of the machine.
type Link struct {
	To string `json:"to"` // UUID
	By string `json:"by"` // nvlink, pcie (no host bridge between them) or numa (the same processor's memory)
}

// An Event is an Xid that the driver has reported.
type Event struct {
	UUID string `json:"uuid"` // of the GPU, or of the slice where the driver names it
	Xid  uint64 `json:"xid"`
	PID  uint32 `json:"pid,omitempty"` // 0: not told
}
