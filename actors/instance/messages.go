package instance

import (
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Changed tells the parent that the instance's state has changed.
type Changed struct {
	Instance spec.InstanceID
	Run      uint64 // as in Config
	State    wire.InstanceState
	Reason   string        // of RESTARTING and FAILED
	Engine   engine.Engine // of READY: where requests go until the next Changed
}

// Progress tells the parent what phase a start is in, and how far.
type Progress struct {
	Instance spec.InstanceID
	Run      uint64
	Phase    string
	Percent  uint32 // of the phase; 0: not told, or nothing yet
}

// Measured tells the parent what a probe has read.
type Measured struct {
	Instance spec.InstanceID
	Run      uint64
	Load     engine.Load
	Pieces   uint64 // of streamed answers that have come, since the engine began to serve
}

// Fault has the actor restart its engine: the device has told of an error that the
// engine's process will not survive, or should not. Without an engine it is ignored.
type Fault struct{ Reason string }

// Messages to the actor itself. The attempt tells an older engine's from the
// present one's.
type (
	ready struct {
		attempt int
		engine  engine.Engine
	}
	failing struct { // the engine is of no use any more, and is about to be stopped
		attempt int
		err     error // never nil
	}
	ended struct {
		attempt int
		err     error // never nil
	}
	measured struct {
		attempt int
		load    engine.Load
		pieces  uint64
	}
	retry      struct{ attempt int }
	progressed struct {
		attempt int
		phase   string
		percent uint32
	}
)
