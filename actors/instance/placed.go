package instance

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Placed tells the actor of a newer placement of its instance, which differs in its
// epoch alone: the engine goes on, and is noted under it.
type Placed struct{ Load *wire.LoadModel }

// confirmTime bounds how long an engine's shim may take to note its placement.
const confirmTime = 10 * time.Second

// placed takes in a Placed; what is started from now on has it anyway.
func (a *Actor) placed(m *Placed) {
	a.cfg.Load, a.unnoted = m.Load, true
	a.confirm()
}

// confirm has an engine that serves noted under the newest placement. What fails is
// told; the next process of the node hears of that placement from the leader then.
func (a *Actor) confirm() {
	if !a.unnoted || a.adapting.engine == nil {
		return
	}
	a.unnoted = false
	e, ok := engine.As[engine.Confirmed](a.adapting.engine)
	if !ok {
		return
	}
	load, ctx, log := a.cfg.Load, a.life, a.cfg.Log
	a.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, confirmTime)
		defer cancel()
		placement, err := proto.Marshal(load)
		if err == nil {
			err = e.Confirm(ctx, load.GetEpoch(), placement)
		}
		if err != nil {
			log.Warn("an engine is not noted under its newest placement", "epoch", load.GetEpoch(), "error", err)
		}
	})
}
