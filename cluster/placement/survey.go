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
	versions map[string]uint64 // of deployments
	devices  []*device         // by id
	byDevice map[spec.DeviceID]*device
	replicas []*replica // by epoch
	actions  []Action
	learnt   map[kind]map[string]Learnt // by the device's name
}

// A device is a reported device with what this plan has given away of it.
type device struct {
	id       spec.DeviceID
	node     spec.NodeID
	region   string
	zone     string
	load     *wire.DeviceLoad
	at       time.Time // of load
	alive    bool      // its node is
	usable   bool      // new replicas may go there
	free     uint64    // not held by what is always loaded, nor promised to such a placement that is not loaded yet
	largest  uint64    // of the placements that are loaded on demand
	shared   uint64    // all of them together
	replicas int       // placements of any deployment
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
	others []*device          // the others that it spreads over; nil: not reported
	load   *wire.InstanceLoad // nil: not reported
	cond   condition
	reason string // of moved and lost
}

// ready tells whether the replica serves. One that is loaded on demand does as soon
// as its device has it, for the first request loads it.
func (r *replica) ready() bool {
	if r.load == nil || !r.dev.alive {
		return false
	}
	switch r.load.State {
	case wire.InstanceState_INSTANCE_STATE_READY:
		return true
	case wire.InstanceState_INSTANCE_STATE_COLD, wire.InstanceState_INSTANCE_STATE_LOADING:
		return r.OnDemand
	}
	return false
}

// shares tells whether the two have a device in common.
func (r *replica) shares(o *replica) bool {
	return slices.ContainsFunc(r.ids(), func(id string) bool { return slices.Contains(o.ids(), id) })
}

// beside is the devices that it spreads over beside its first.
func (r *replica) beside() (out []spec.DeviceID) {
	for _, id := range r.Devices {
		out = append(out, spec.DeviceID(id))
	}
	return out
}

func (r *replica) ids() []string { return append([]string{r.Device}, r.Devices...) }

// all is every device of the replica; nil for one that is not reported.
func (r *replica) all() []*device { return append([]*device{r.dev}, r.others...) }

func (r *replica) state(s wire.InstanceState) bool { return r.load != nil && r.load.State == s }

// present tells whether the device still has something of the instance.
func present(i *wire.InstanceLoad) bool { return i.State != wire.InstanceState_INSTANCE_STATE_GONE }

func survey(w Wanted, o Observed) *plan {
	p := &plan{w: w, o: o, nodes: map[string]*wire.Node{}, models: map[string]*wire.Model{}, versions: map[string]uint64{}, byDevice: map[spec.DeviceID]*device{}}
	for _, n := range w.Nodes {
		p.nodes[n.Id] = n
	}
	for _, m := range w.Models {
		p.models[m.Name] = m
	}
	for _, d := range w.Deployments {
		p.versions[d.Name] = d.Version
	}
	p.learn()
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
	dev := &device{id: spec.DeviceID(d.Load.Device), node: d.Node, region: n.Region, zone: n.Zone, load: d.Load, at: d.At,
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
	r := &replica{Placement: pl, dev: p.deviceOf(pl, pl.Device)}
	for _, id := range pl.Devices {
		r.others = append(r.others, p.deviceOf(pl, id))
	}
	if r.dev != nil {
		for _, i := range r.dev.load.Instances {
			if i.Instance == pl.Instance && present(i) {
				r.load = i
			}
		}
	}
	for _, d := range r.all() {
		if d != nil {
			d.account(r, p.versions[pl.Deployment] == pl.Version)
		}
	}
	r.cond, r.reason = p.judge(r)
	p.replicas = append(p.replicas, r)
}

func (p *plan) deviceOf(pl *wire.Placement, id string) *device {
	if d := p.byDevice[spec.DeviceID(id)]; d != nil && d.node == spec.NodeID(pl.Node) {
		return d
	}
	return nil
}

// account takes the replica's memory off what the device has free. What is loaded
// on demand takes none from the others but has to fit beside what is always loaded;
// current says that it is to stay.
func (d *device) account(r *replica, current bool) {
	d.replicas++
	switch {
	case r.OnDemand:
		if r.load != nil {
			d.free = min(d.free+r.load.MemoryReserved, d.load.MemoryTotal)
		}
		if current {
			d.share(r.MemoryBytes)
		}
	case r.load == nil:
		d.free -= min(d.free, r.MemoryBytes)
	}
}

func (d *device) share(bytes uint64) {
	d.shared += bytes
	d.largest = max(d.largest, bytes)
}

// judge says what the replica's place is worth, whatever its deployment.
func (p *plan) judge(r *replica) (condition, string) {
	n := p.nodes[r.Node]
	switch id := spec.DeviceID(r.Device); {
	case !member(n):
		return lost, "its node was removed"
	case r.ill() != nil:
		if expired(p.o.Down, id, p.o.Now, p.w.DeadGrace) {
			return lost, p.trouble(r)
		}
		return kept, ""
	case n.State == wire.NodeState_NODE_STATE_DRAINING || r.drains():
		if expired(p.o.Draining, id, p.o.Now, p.w.DrainGrace) {
			return moved, "its device is draining"
		}
		return kept, ""
	}
	return sound, ""
}

// ill is the first of the replica's devices that cannot serve, absent one that is
// not reported; nil: all can.
func (r *replica) ill() *device {
	for _, d := range r.all() {
		switch {
		case d == nil:
			return absent
		case !d.alive || !healthy(d.load):
			return d
		}
	}
	return nil
}

var absent = &device{}

func (r *replica) drains() bool {
	return slices.ContainsFunc(r.all(), func(d *device) bool { return d.load.Draining })
}

func (p *plan) trouble(r *replica) string {
	switch ill := r.ill(); {
	case !p.o.Alive[spec.NodeID(r.Node)]:
		return "its node is dead"
	case ill == absent:
		return "its device is missing"
	default:
		return "its device is unhealthy: " + ill.load.Health
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
		case r.ill() != nil:
			down[id] = true
		case n.GetState() == wire.NodeState_NODE_STATE_DRAINING || r.drains():
			draining[id] = true
		}
	}
	return down, draining
}
