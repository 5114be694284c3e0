package placement

import (
	"cmp"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// plan is the working table of one call of Plan.
type plan struct {
	w        Wanted
	o        Observed
	nodes    map[string]*wire.Node
	models   map[string]*wire.Model
	devices  []*device // by id
	byDevice map[spec.DeviceID]*device
	replicas []*replica // by epoch
	actions  []Action
}

// A device is a reported device with what this plan has given away of it.
type device struct {
	id       spec.DeviceID
	node     spec.NodeID
	region   string
	zone     string
	load     *wire.DeviceLoad
	alive    bool   // its node is
	usable   bool   // new replicas may go there
	free     uint64 // not reserved, and not promised to a placement that is not loaded yet
	replicas int    // placements of any deployment
}

// A condition says what a replica's place is worth.
type condition uint8

const (
	sound condition = iota // it serves, or will
	kept                   // it cannot serve now and keeps its place meanwhile
	moved                  // it is to be replaced elsewhere, and serves until then
	lost                   // it is gone
)

// A replica is a placement with what is observed of it.
type replica struct {
	*wire.Placement
	dev    *device            // nil: not reported
	load   *wire.InstanceLoad // nil: not reported
	cond   condition
	reason string // of moved and lost
}

func (r *replica) ready() bool {
	return r.load != nil && r.load.State == wire.InstanceState_INSTANCE_STATE_READY && r.dev.alive
}

func (r *replica) state(s wire.InstanceState) bool { return r.load != nil && r.load.State == s }

// present tells whether the device still has something of the instance.
func present(i *wire.InstanceLoad) bool { return i.State != wire.InstanceState_INSTANCE_STATE_GONE }

func survey(w Wanted, o Observed) *plan {
	p := &plan{w: w, o: o, nodes: map[string]*wire.Node{}, models: map[string]*wire.Model{}, byDevice: map[spec.DeviceID]*device{}}
	for _, n := range w.Nodes {
		p.nodes[n.Id] = n
	}
	for _, m := range w.Models {
		p.models[m.Name] = m
	}
	for _, d := range o.Devices {
		p.addDevice(d)
	}
	slices.SortFunc(p.devices, func(a, b *device) int { return cmp.Compare(a.id, b.id) })
	for _, pl := range w.Placements {
		p.addReplica(pl)
	}
	slices.SortFunc(p.replicas, byEpoch)
	return p
}

func (p *plan) addDevice(d Device) {
	n := p.nodes[string(d.Node)]
	if n == nil || d.Load == nil || p.byDevice[spec.DeviceID(d.Load.Device)] != nil {
		return
	}
	dev := &device{id: spec.DeviceID(d.Load.Device), node: d.Node, region: n.Region, zone: n.Zone, load: d.Load,
		alive: p.o.Alive[d.Node], free: d.Load.MemoryFree}
	dev.usable = dev.alive && member(n) && n.State != wire.NodeState_NODE_STATE_DRAINING && healthy(d.Load) && !d.Load.Draining
	p.devices = append(p.devices, dev)
	p.byDevice[dev.id] = dev
}

// member tells whether the node may run anything at all.
func member(n *wire.Node) bool {
	return n != nil && n.State != wire.NodeState_NODE_STATE_REMOVED && slices.Contains(n.Roles, string(spec.RoleWorker))
}

func healthy(d *wire.DeviceLoad) bool { return d.Health == "" || d.Health == "ok" }

func (p *plan) addReplica(pl *wire.Placement) {
	r := &replica{Placement: pl}
	if d := p.byDevice[spec.DeviceID(pl.Device)]; d != nil && d.node == spec.NodeID(pl.Node) {
		r.dev = d
		d.replicas++
		for _, i := range d.load.Instances {
			if i.Instance == pl.Instance && present(i) {
				r.load = i
			}
		}
		if r.load == nil {
			d.free -= min(d.free, pl.MemoryBytes)
		}
	}
	r.cond, r.reason = p.judge(r)
	p.replicas = append(p.replicas, r)
}

// judge says what the replica's place is worth, whatever its deployment.
func (p *plan) judge(r *replica) (condition, string) {
	n := p.nodes[r.Node]
	switch id := spec.DeviceID(r.Device); {
	case !member(n):
		return lost, "its node was removed"
	case r.dev == nil || !r.dev.alive || !healthy(r.dev.load):
		if expired(p.o.Down, id, p.o.Now, p.w.DeadGrace) {
			return lost, p.trouble(r)
		}
		return kept, ""
	case n.State == wire.NodeState_NODE_STATE_DRAINING || r.dev.load.Draining:
		if expired(p.o.Draining, id, p.o.Now, p.w.DrainGrace) {
			return moved, "its device is draining"
		}
		return kept, ""
	}
	return sound, ""
}

func (p *plan) trouble(r *replica) string {
	switch {
	case !p.o.Alive[spec.NodeID(r.Node)]:
		return "its node is dead"
	case r.dev == nil:
		return "its device is missing"
	default:
		return "its device is unhealthy: " + r.dev.load.Health
	}
}

func expired(since map[spec.DeviceID]time.Time, id spec.DeviceID, now time.Time, grace time.Duration) bool {
	t, ok := since[id]
	return ok && now.Sub(t) >= grace
}

// Troubled tells which devices with placements are down and which drain, for
// whoever remembers since when.
func Troubled(w Wanted, o Observed) (down, draining map[spec.DeviceID]bool) {
	p := survey(w, o)
	down, draining = map[spec.DeviceID]bool{}, map[spec.DeviceID]bool{}
	for _, r := range p.replicas {
		id := spec.DeviceID(r.Device)
		switch n := p.nodes[r.Node]; {
		case r.dev == nil || !r.dev.alive || !healthy(r.dev.load):
			down[id] = true
		case n.GetState() == wire.NodeState_NODE_STATE_DRAINING || r.dev.load.Draining:
			draining[id] = true
		}
	}
	return down, draining
}
