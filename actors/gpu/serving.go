package gpu

import (
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// serve tells which instances have engines, before the digest that says so does.
func (a *Actor) serve() {
	if a.cfg.Serves == nil {
		return
	}
	for id := range a.serving {
		if in := a.table.instances[id]; in == nil || in.engine == nil {
			delete(a.serving, id)
			a.cfg.Serves(id, nil, nil)
		}
	}
	for id, in := range a.table.instances {
		if in.engine != nil && a.serving[id] != in.engine {
			a.serving[id] = in.engine
			a.cfg.Serves(id, in.load, in.engine)
		}
	}
}

// serving are the engines that Config.Serves was told of.
type serving map[spec.InstanceID]engine.Engine

// shared tells in the digest what goes to the engines together.
func (a *Actor) shared(d *wire.DeviceLoad) {
	if a.cfg.Sharing == nil {
		return
	}
	for _, i := range d.Instances {
		if now, most := a.cfg.Sharing(spec.InstanceID(i.Instance)); most > 0 && i.State == wire.InstanceState_INSTANCE_STATE_READY {
			i.Sharing, i.Shares = uint32(now), uint32(most)
		}
	}
}
