package gpu

import (
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A Lease names one place taken by one request. Whoever asks for admission makes
// it, never twice in one process, so that it can be released even where the
// answer was not waited for.
type Lease uint64

// Admit asks for a place. The actor answers on Reply exactly once, without
// waiting: give it room for one.
type Admit struct {
	Lease        Lease
	Instance     spec.InstanceID
	Deployment   string
	Version      uint64
	PromptTokens int
	Adapter      string // that the request is for; empty: none
	Reply        chan<- Admission
}

// An Admission is the answer: the engine to ask, or why not.
type Admission struct {
	Engine   engine.Engine
	Rejected *spec.Rejection // nil: admitted
	Load     spec.Load
}

// FirstByte says that the lease's prompt has been read.
type FirstByte struct{ Lease Lease }

// Release gives a place back; a lease that is not held is ignored. Reply, if not
// nil, gets the load that remains, without waiting.
type Release struct {
	Lease            Lease
	PromptTokens     int           // 0: not known
	CompletionTokens int           // 0: not known
	Prefill          time.Duration // from the lease's beginning to the first byte; 0: none came
	Decode           time.Duration // from the first byte to the last
	Reply            chan<- spec.Load
}

// Sampled brings a reading of the device.
type Sampled struct{ Reading device.Reading }

// Faulted brings what has happened to the device.
type Faulted struct{ Event device.Event }

// Heartbeat has the actor tell its digest though nothing has changed.
type Heartbeat struct{}

// flush has the actor tell what has changed.
type flush struct{}
