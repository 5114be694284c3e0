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
	Streamed     bool             // its answer is to come piece by piece
	Adapter      string           // that the request is for; empty: none
	Kept         uint64           // place that is kept for it, as in spec.Lease; 0: none
	Waits        spec.Reservation // what else waits at its gateway, which it names
	Reply        chan<- Admission
}

// An Admission is the answer: the engine to ask, or why not.
type Admission struct {
	Engine   engine.Engine
	Rejected *spec.Rejection // nil: admitted
	Load     spec.Load
}

// FirstByte says that the lease's prompt has been read; of an answer that comes
// at once Release says it.
type FirstByte struct {
	Lease    Lease
	Streamed bool
}

// Waits tells what waits for a place at a gateway.
type Waits struct{ spec.Reservation }

// Release gives a place back; a lease that is not held is ignored. Reply, if not
// nil, gets the load that remains, without waiting.
type Release struct {
	Lease            Lease
	Whole            bool          // it was answered to its end: what it took tells of the engine
	PromptTokens     int           // 0: not known
	CompletionTokens int           // 0: not known
	Pieces           int           // in which a streamed answer has come
	RanOut           bool          // the engine has answered that it has no memory for it
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

// pump has the actor look whether there is something to grant.
type pump struct{}

// flush has the actor tell what has changed.
type flush struct{}
