package placement

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Wanted is what the state says. Plan changes none of its records.
type Wanted struct {
	Deployments []*wire.Deployment
	Placements  []*wire.Placement
	Nodes       []*wire.Node
	Models      []*wire.Model

	DeadGrace  time.Duration // a device that cannot serve keeps its placements so long
	DrainGrace time.Duration // a draining one so long
}

// Observed is what is known of the cluster at Now. Whoever gathers it fills the
// first block; the reconciler, which remembers, fills the second.
type Observed struct {
	Now     time.Time
	Alive   map[spec.NodeID]bool
	Devices []Device
	// Notes are what nodes tell of themselves; nil: it has not come yet. Of a node that is
	// not there, being of an older build, nothing is known.
	Notes map[spec.NodeID]*wire.NodeNote

	Down     map[spec.DeviceID]time.Time // since when a device cannot serve; absent: since Now
	Draining map[spec.DeviceID]time.Time // since when it drains; absent: since Now
	Failures map[FailureKey]Failure      // what failed where
	Refused  map[spec.InstanceID]string  // why its device would not load an instance, time and again
}

// A Device is one device's last digest.
type Device struct {
	Node spec.NodeID
	Load *wire.DeviceLoad
	At   time.Time
}

// A FailureKey names what failed: a version of a deployment on a device.
type FailureKey struct {
	Deployment string
	Version    uint64
	Device     spec.DeviceID
}

// A Failure keeps a version off a device for a while.
type Failure struct {
	Count int
	Until time.Time
}

// A Kind says what an action does.
type Kind uint8

// The kinds of actions.
const (
	Place    Kind = iota + 1 // write a placement under a new instance id
	Load                     // have the device load the instance of a placement
	Unload                   // have the device unload an instance
	Remove                   // remove a placement whose instance is gone
	Unplaced                 // nothing to do: says why a replica has no place
)

func (k Kind) String() string {
	return [...]string{"none", "place", "load", "unload", "remove", "unplaced"}[min(k, Unplaced)]
}

// An Action is one step. Instance is empty for Place and Unplaced.
type Action struct {
	Kind       Kind
	Deployment string
	Version    uint64
	Instance   spec.InstanceID
	Epoch      uint64
	Node       spec.NodeID
	Device     spec.DeviceID
	Memory     uint64            // on each device
	Source     wire.MemorySource // Place, Load: whose word Memory is
	Others     []spec.DeviceID   // Place, Load: the devices beside Device that it spreads over
	OnDemand   bool              // Place, Load: it is loaded on demand
	Drain      bool              // Unload: requests under way may finish
	Reason     string
}

// Plan says what to do now. It asks again for what has not been observed to have
// happened, so the caller spaces its commands; once everything has happened, it
// returns nothing but Unplaced. Actions of the same input are the same.
func Plan(w Wanted, o Observed) []Action {
	p := survey(w, o)
	names := map[string]*wire.Deployment{}
	for _, d := range w.Deployments {
		names[d.Name] = d
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p.deployment(names[name])
	}
	for _, r := range p.replicas {
		if names[r.Deployment] == nil {
			p.retire(r, "the deployment was removed", false)
		}
	}
	p.orphans()
	return p.actions
}

// orphans unloads what runs without a placement.
func (p *plan) orphans() {
	placed := map[string]bool{}
	for _, r := range p.replicas {
		placed[r.Instance] = true
	}
	for _, d := range p.devices {
		for _, i := range d.load.Instances {
			if placed[i.Instance] || !present(i) || i.State == wire.InstanceState_INSTANCE_STATE_DRAINING || !d.alive {
				continue
			}
			p.actions = append(p.actions, Action{Kind: Unload, Deployment: i.Deployment, Version: i.Version,
				Instance: spec.InstanceID(i.Instance), Epoch: i.Epoch, Node: d.node, Device: d.id, Drain: true,
				Reason: "it has no placement"})
		}
	}
}

// retire ends a replica: its instance is unloaded, and its placement goes when
// no device speaks of it any more.
func (p *plan) retire(r *replica, reason string, drain bool) {
	a := Action{Deployment: r.Deployment, Version: r.Version, Instance: spec.InstanceID(r.Instance), Epoch: r.Epoch,
		Node: spec.NodeID(r.Node), Device: spec.DeviceID(r.Device), Memory: r.MemoryBytes, Drain: drain, Reason: reason}
	switch {
	case r.load == nil || r.dev == nil || !r.dev.alive:
		a.Kind = Remove
	case r.load.State == wire.InstanceState_INSTANCE_STATE_DRAINING:
		return // on its way out
	default:
		a.Kind = Unload
	}
	p.actions = append(p.actions, a)
}

func byEpoch(a, b *replica) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Instance, b.Instance))
}
