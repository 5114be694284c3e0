package gpu

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// takeOver closes the lanes and takes in what has passed through them.
func (a *Actor) takeOver(c actor.Context) {
	for in := range a.lanes {
		passed := in.lane.shut()
		if len(passed) == 0 {
			continue
		}
		came, ended, prompt, completion := 0, 0, 0, 0
		for i := range passed {
			switch p := &passed[i]; p.kind {
			case cameIn:
				came++
			case wentOut:
				ended++
			}
			if at, stop := a.table.pass(in, &passed[i]); at != nil {
				a.cfg.Metrics.released(at.load.GetDeployment(), &passed[i].Release)
				prompt, completion = prompt+max(passed[i].PromptTokens, 0), completion+max(passed[i].CompletionTokens, 0)
				if stop {
					a.stop(c, at)
				}
			}
		}
		a.cfg.Metrics.admitted(a.cfg.Device.ID, came)
		if ended > 0 {
			a.cfg.Metrics.counted(in.load.GetDeployment(), prompt, completion)
			a.resized(in)
			a.adapt(c, in)
		}
		a.changed(c)
	}
}

// pass takes in what has passed through the instance's lane. It returns what release does
// where that gave a place back.
func (t *table) pass(in *inst, p *passage) (released *inst, stop bool) {
	switch p.kind {
	case cameIn:
		t.take(in, nil, p.Lease, p.prompt, p.streamed, p.at)
	case firstByteOf:
		t.firstByte(&FirstByte{Lease: p.Lease, Streamed: p.streamed}, p.at)
	case wentOut:
		return t.release(&p.Release, p.at)
	}
	return nil, false
}

// letPass opens the lanes of the instances that take requests as they come, and gives up
// those of instances that are gone.
func (a *Actor) letPass(c actor.Context) {
	if a.cfg.Lanes == nil || a.closing {
		return
	}
	for in := range a.lanes {
		if a.table.instances[in.id] != in {
			a.closeLane(in)
		}
	}
	now := a.cfg.Now()
	for _, in := range a.table.instances {
		t, ok := a.table.terms(in, now)
		if !ok {
			continue
		}
		if in.lane == nil {
			a.openLane(c, in)
		}
		t.load = a.load(in)
		in.lane.reopen(t)
	}
}

func (a *Actor) openLane(c actor.Context, in *inst) {
	root, self := c.ActorSystem().Root, c.Self()
	due := time.AfterFunc(time.Hour, func() { root.Send(self, &flush{}) })
	due.Stop()
	in.lane = &Lane{device: a.cfg.Device.ID, tell: func() { due.Reset(coalesce) }, still: func() { due.Stop() }}
	a.lanes[in] = struct{}{}
	a.cfg.Lanes.by.Store(in.id, in.lane)
}

func (a *Actor) closeLane(in *inst) {
	in.lane.shut()
	in.lane.still()
	delete(a.lanes, in)
	a.cfg.Lanes.by.CompareAndDelete(in.id, in.lane)
}

// closeLanes is for the actor's end.
func (a *Actor) closeLanes() {
	for in := range a.lanes {
		a.closeLane(in)
	}
}
