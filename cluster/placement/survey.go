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
	byName   map[string]*wire.Deployment
	tried    map[string]*wire.Deployment // by name: what a canary makes of it
	devices  []*device                   // by id
	byDevice map[spec.DeviceID]*device
	replicas []*replica // by epoch
	actions  []Action
	learnt   map[kind]map[string]Learnt // by the device's name

	sites          map[string]*site
	siteList       []*site
	bySite         []*site               // those with usable devices, by the first of them
	zones, regions int                   // how many there are
	byDeployment   map[string][]*replica // by epoch; also what this plan places
	strangers      map[string][]string   // deployments that are to be apart
	barred         map[string][]int32    // by deployment and site: replicas that it is to be apart from
	heirs          map[string]*replica   // by the instance that they replace
	lacking        map[string][]bool     // by engine: the sites without it
	rolls          []*roll               // by name
	moving         int                   // replicas whose heirs are on their way, also by this plan
	hungry         bool                  // a replica lacks memory
}

// A device is a reported device with what this plan has given away of it.
type device struct {
	id       spec.DeviceID
	node     spec.NodeID
	site     *site
	at       int // in plan.devices
	load     *wire.DeviceLoad
	seen     time.Time // when load was told
	links    []*device // those that it reaches fastest
	alive    bool      // its node is
	usable   bool      // new replicas may go there
	settled  bool      // and could for long enough to be worth a move
	free     uint64    // not held by what is always loaded, nor promised to such a placement that is not loaded yet
	largest  uint64    // of the placements that are loaded on demand
	shared   uint64    // all of them together
	replicas int       // placements of any deployment
	steady   int       // of them those that are always loaded and take memory
	coming   uint64    // of memory that is on its way back
	owed     uint64    // of that, to a replica that waits for it
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
	site   *site              // nil: its node is not in the state
	dev    *device            // nil: not reported
	others []*device          // the others that it spreads over; nil: not reported
	load   *wire.InstanceLoad // nil: not reported
	cond   condition
	reason string // of moved and lost
	cause  Cause  // the same, for metrics
	leaves bool   // it is loaded on demand, and leaves
	action int    // of what this plan places: its index in plan.actions
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
	p := &plan{w: w, o: o, nodes: map[string]*wire.Node{}, models: map[string]*wire.Model{}, byName: map[string]*wire.Deployment{}, tried: map[string]*wire.Deployment{}, byDevice: map[spec.DeviceID]*device{},
		sites: map[string]*site{}, byDeployment: map[string][]*replica{}, heirs: map[string]*replica{}, lacking: map[string][]bool{}}
	for _, n := range w.Nodes {
		p.nodes[n.Id] = n
	}
	for _, m := range w.Models {
		p.models[m.Name] = m
	}
	for _, d := range w.Deployments {
		p.byName[d.Name] = d
		if c := d.Candidate(); c != nil {
			p.tried[d.Name] = c
		}
	}
	p.sited()
	p.estrange()
	p.learn()
	for _, d := range o.Devices {
		p.addDevice(d)
	}
	slices.SortFunc(p.devices, func(a, b *device) int { return cmp.Compare(a.id, b.id) })
	for i, d := range p.devices {
		d.at = i
		for _, id := range d.load.Links {
			if other := p.byDevice[spec.DeviceID(id)]; other != nil {
				d.links = append(d.links, other)
			}
		}
	}
	for _, pl := range w.Placements {
		p.addReplica(pl)
	}
	slices.SortFunc(p.replicas, byEpoch)
	p.gather()
	for _, r := range p.replicas {
		p.byDeployment[r.Deployment] = append(p.byDeployment[r.Deployment], r)
		if r.site != nil && r.cond != lost {
			p.bar(r.Deployment, r.site, 1)
		}
		if r.Replaces != "" {
			p.heirs[r.Replaces] = r
		}
	}
	return p
}

func (p *plan) addDevice(d Device) {
	n := p.nodes[string(d.Node)]
	if n == nil || d.Load == nil || p.byDevice[spec.DeviceID(d.Load.Device)] != nil {
		return
	}
	dev := &device{id: spec.DeviceID(d.Load.Device), node: d.Node, site: p.sites[n.Id], load: d.Load, seen: d.At,
		alive: p.o.Alive[d.Node], free: d.Load.MemoryFree}
	dev.usable = dev.alive && member(n) && n.State != wire.NodeState_NODE_STATE_DRAINING && healthy(d.Load) && !d.Load.Draining
	dev.settled = dev.usable && p.w.SettleAfter > 0 && expired(p.o.Usable, dev.id, p.o.Now, p.w.SettleAfter)
	p.devices = append(p.devices, dev)
	p.byDevice[dev.id] = dev
}

// member tells whether the node may run anything at all.
func member(n *wire.Node) bool {
	return n != nil && n.State != wire.NodeState_NODE_STATE_REMOVED && slices.Contains(n.Roles, string(spec.RoleWorker))
}

func healthy(d *wire.DeviceLoad) bool { return d.Health == "" || d.Health == "ok" }

func (p *plan) addReplica(pl *wire.Placement) {
	r := &replica{Placement: pl, site: p.sites[pl.Node], dev: p.deviceOf(pl, pl.Device)}
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
			d.account(r, p.byName[pl.Deployment].InForce(pl.Version))
		}
	}
	r.cond, r.cause, r.reason = p.judge(r)
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
	if !r.OnDemand && r.MemoryBytes > 0 {
		d.steady++
	}
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
func (p *plan) judge(r *replica) (condition, Cause, string) {
	n := p.nodes[r.Node]
	switch id := spec.DeviceID(r.Device); {
	case !member(n):
		return lost, NodeLost, "its node was removed"
	case r.ill() != nil:
		if expired(p.o.Down, id, p.o.Now, p.w.DeadGrace) {
			cause, reason := p.trouble(r)
			return lost, cause, reason
		}
		return kept, 0, ""
	case n.State == wire.NodeState_NODE_STATE_DRAINING || r.drains():
		if expired(p.o.Draining, id, p.o.Now, p.w.DrainGrace) {
			return moved, Drained, "its device is draining"
		}
		return kept, 0, ""
	}
	return sound, 0, ""
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

func (p *plan) trouble(r *replica) (Cause, string) {
	switch ill := r.ill(); {
	case !p.o.Alive[spec.NodeID(r.Node)]:
		return NodeLost, "its node is dead"
	case ill == absent:
		return DeviceFailed, "its device is missing"
	default:
		return DeviceFailed, "its device is unhealthy: " + ill.load.Health
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

// Usable tells which devices can take replicas, for whoever remembers since when.
func Usable(w Wanted, o Observed) map[spec.DeviceID]bool {
	out := map[spec.DeviceID]bool{}
	nodes := map[spec.NodeID]*wire.Node{}
	for _, n := range w.Nodes {
		nodes[spec.NodeID(n.Id)] = n
	}
	for _, d := range o.Devices {
		if n := nodes[d.Node]; o.Alive[d.Node] && member(n) && n.State != wire.NodeState_NODE_STATE_DRAINING && healthy(d.Load) && !d.Load.GetDraining() {
			out[spec.DeviceID(d.Load.GetDevice())] = true
		}
	}
	return out
}
