package nvml

import "errors"

// ErrNotCompiled is List's answer in a build without cgo.
var ErrNotCompiled = errors.New("this build has no NVML: build lotabots-engine with CGO_ENABLED=1 and a C compiler to see GPUs")

// A Device is one GPU at one moment. Its fields are a line of lotabots-engine devices.
type Device struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	MemoryTotal uint64 `json:"memory_total"` // bytes
	MemoryFree  uint64 `json:"memory_free"`  // bytes
	// Utilisation is the part of the last sampling period in which a kernel ran, 0 to 1; -1: unknown.
	Utilisation float64 `json:"utilisation"`
	Health      Health  `json:"health"`
}

// Health says whether a GPU can be trusted with work.
type Health string

// What Health can be.
const (
	OK       Health = "ok"
	Degraded Health = "degraded" // it answers, but reports uncorrected memory errors
	Lost     Health = "lost"     // it does not answer
)
