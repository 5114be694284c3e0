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
	// SettleAfter is how long a device must have been able to take replicas before one that runs well
	// elsewhere is moved to it; 0: none is.
	SettleAfter time.Duration

	// Still: nothing that runs is moved, for a member's build does not know of moves: as the next leader
	// it would take the one that moves and the one that it moves to for one too many, and end either.
	Still bool

	// Replicas is how many a deployment wants where that is not its own number, by name; Floors how many it must
	// have at least. Absent: its own number; all that it wants.
	Replicas map[string]uint32
	Floors   map[string]uint32
}

// MovesLevel is the feature level of builds that know of moves; see Wanted.Still.
const MovesLevel = 5

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
	Usable   map[spec.DeviceID]time.Time // since when it can take replicas; absent: since Now
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
	Warm                     // have the device load now what it would load on demand; Plan asks for none
	Unplaced                 // nothing to do: says why a replica has no place
)

func (k Kind) String() string {
	return [...]string{"none", "place", "load", "unload", "remove", "warm", "unplaced"}[min(k, Unplaced)]
}

// A Cause is why a replica gets a place, for metrics.
type Cause uint8

// The causes.
const (
	Scaled       Cause = iota + 1 // more are wanted
	NodeLost                      // its node is dead or was removed
	DeviceFailed                  // its device is missing or unhealthy
	Drained                       // its device or node is draining
	NewVersion                    // the deployment has another version
	Failed                        // it failed where it was
	Ruled                         // the deployment's rules have changed: regions, nodes, whom it is apart from
	Rebalanced                    // it stands better elsewhere
	Displaced                     // it makes room for another
)

// Causes lists their names in metrics.
var Causes = [...]string{Scaled: "scale", NodeLost: "node_lost", DeviceFailed: "device_failed", Drained: "drain", NewVersion: "version",
	Failed: "failed", Ruled: "rules", Rebalanced: "rebalance", Displaced: "memory"}

func (c Cause) String() string { return Causes[c] }

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
	Replaces   spec.InstanceID   // Place: whose place it takes, which serves until this one does
	Cause      Cause             // Place: why
	For        string            // the deployment that it makes room for; empty: none
	Reason     string
}

// Plan says what to do now. It asks again for what has not been observed to have
// happened, so the caller spaces its commands; once everything has happened, it
// returns nothing but Unplaced. Actions of the same input are the same.
//
// Every deployment gets its first replica before any gets its second, then its floor,
// then the rest, of each the largest first: large ones find fewer places. Canaries come last.
func Plan(w Wanted, o Observed) []Action {
	p := survey(w, o)
	for _, name := range slices.Sorted(maps.Keys(p.byName)) {
		p.rolls = append(p.rolls, p.roll(p.byName[name]))
		if c := p.tried[name]; c != nil {
			p.rolls = append(p.rolls, p.roll(c))
		}
	}
	large := slices.Clone(p.rolls)
	slices.SortStableFunc(large, func(a, b *roll) int {
		return cmp.Or(cmp.Compare(b2i(a.trial), b2i(b.trial)), cmp.Compare(b.size(), a.size()))
	})
	p.fill(large, first)
	p.fill(large, floor)
	p.returning()
	p.makeRoom(large)
	p.fill(large, all)
	p.makeRoom(large)
	for _, r := range p.rolls {
		r.improve()
	}
	for _, r := range p.rolls {
		r.finish()
	}
	for _, r := range p.replicas {
		if p.byName[r.Deployment] == nil {
			p.retire(r, "the deployment was removed", false)
		}
	}
	p.orphans()
	return p.actions
}

func (p *plan) fill(rolls []*roll, upTo func(*roll) int) {
	for _, r := range rolls {
		r.fill(upTo(r))
	}
}

func first(r *roll) int { return min(r.floor, 1) }
func floor(r *roll) int { return r.floor }
func all(r *roll) int   { return r.want }

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
