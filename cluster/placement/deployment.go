package placement

import (
	"cmp"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A roll is one deployment's replicas, sorted by what becomes of them.
type roll struct {
	p       *plan
	d       *wire.Deployment
	memory  memory
	good    []*replica // of this version, with a place worth keeping; also what this plan places
	old     []*replica // to be replaced: serve until others do
	failed  []*replica
	leaving int  // that are being unloaded
	tight   bool // a replica found no room
}

func (p *plan) deployment(d *wire.Deployment) {
	m := p.models[d.Model]
	r := &roll{p: p, d: d, memory: p.memoryOf(d, m)}
	for _, x := range p.replicas {
		if x.Deployment == d.Name {
			r.sort(x)
		}
	}
	if d.Model != "" && m == nil && d.Engine != "external" && d.Engine != "ollama" {
		r.unplaced("model " + d.Model + " is not imported")
	} else {
		r.fill()
		r.part()
	}
	r.load()
	r.surplus()
	r.supersede()
	r.forgetFailed()
}

func (r *roll) sort(x *replica) {
	switch {
	case x.cond == lost:
		r.p.retire(x, x.reason, false)
	case x.cond == sound && x.state(wire.InstanceState_INSTANCE_STATE_DRAINING):
		r.leaving++ // somebody has decided so; its placement goes when it is gone
	case x.Version != r.d.Version:
		x.reason = "another version replaces it"
		r.old = append(r.old, x)
	case !allowed(r.d, r.p.nodes[x.Node].GetRegion()):
		x.reason = "its region is not allowed"
		r.old = append(r.old, x)
	case x.cond == moved:
		r.old = append(r.old, x)
	case x.state(wire.InstanceState_INSTANCE_STATE_FAILED) || r.p.o.Refused[spec.InstanceID(x.Instance)] != "":
		r.failed = append(r.failed, x)
	default:
		r.good = append(r.good, x)
	}
}

// fill places what is missing: regions that are short first, then the rest.
func (r *roll) fill() {
	for _, region := range r.regions() {
		for n := r.in(region); n < int(r.d.MinPerRegion); n++ {
			if !r.place(search{d: r.d, memory: r.memory, region: region, among: r.good}, "its region is short of replicas") {
				break
			}
		}
	}
	for len(r.good) < int(r.d.Replicas) {
		if !r.place(search{d: r.d, memory: r.memory, among: r.good}, "the deployment is short of replicas") {
			break
		}
	}
}

// part gives the second of two replicas on one device a place of its own when
// there is one; the surplus that arises ends it.
func (r *roll) part() {
	if len(r.good) != int(r.d.Replicas) || len(r.old) > 0 {
		return
	}
	for _, x := range r.good {
		if r.doubled(x) && x.ready() {
			s := search{d: r.d, memory: r.memory, region: r.p.nodes[x.Node].GetRegion(), among: r.good, parted: true}
			if devices, _ := r.p.choose(s); devices != nil {
				r.put(devices, "another replica shares its device")
			}
			return
		}
	}
}

// doubled tells whether an older good replica is on the same device.
func (r *roll) doubled(x *replica) bool {
	return slices.ContainsFunc(r.good, func(y *replica) bool { return byEpoch(y, x) < 0 && y.shares(x) })
}

// regions lists the allowed regions that have a worker, where each must have
// some. A node without a region is in none: a search for "" would find it anywhere.
func (r *roll) regions() []string {
	if r.d.MinPerRegion == 0 {
		return nil
	}
	var out []string
	for _, n := range r.p.nodes {
		if member(n) && n.Region != "" && allowed(r.d, n.Region) && !slices.Contains(out, n.Region) {
			out = append(out, n.Region)
		}
	}
	slices.Sort(out)
	return out
}

func (r *roll) in(region string) (n int) {
	for _, x := range r.good {
		if r.p.nodes[x.Node].GetRegion() == region {
			n++
		}
	}
	return n
}

func (r *roll) place(s search, reason string) bool {
	devices, why := r.p.choose(s)
	if devices == nil {
		r.tight = r.tight || why == tooFull
		reason := r.p.explain(s, why)
		if why == tooFull && len(r.old) > 0 {
			reason += "; what it replaces still runs"
		}
		r.unplaced(reason)
		return false
	}
	r.put(devices, reason)
	return true
}

func (r *roll) put(devices []*device, reason string) {
	onDemand := r.d.GetResidency().GetOnDemand()
	first, others := devices[0], devices[1:]
	need, source := r.memory.needs(first.load)
	for _, d := range others {
		need = max(need, r.memory.need(d))
	}
	a := Action{Kind: Place, Deployment: r.d.Name, Version: r.d.Version, Node: first.node, Device: first.id,
		OnDemand: onDemand, Memory: need, Source: source, Reason: reason}
	placed := &wire.Placement{Deployment: r.d.Name, Version: r.d.Version, Node: string(first.node), Device: string(first.id),
		OnDemand: onDemand, MemoryBytes: need, Epoch: ^uint64(0)}
	for _, d := range others {
		a.Others = append(a.Others, d.id)
		placed.Devices = append(placed.Devices, string(d.id))
	}
	x := &replica{dev: first, others: others, Placement: placed}
	for _, d := range devices {
		d.account(x, true)
	}
	r.good = append(r.good, x)
	r.p.actions = append(r.p.actions, a)
}

func (r *roll) unplaced(reason string) {
	need, _ := r.p.missing(search{d: r.d, memory: r.memory, among: r.good})
	r.p.actions = append(r.p.actions, Action{Kind: Unplaced, Deployment: r.d.Name, Version: r.d.Version, Memory: need, Reason: reason})
}

// load has devices load what they were given and do not speak of.
func (r *roll) load() {
	for _, x := range r.good {
		if x.Instance == "" || x.cond != sound || x.load != nil && x.load.Epoch >= x.Epoch {
			continue
		}
		r.p.actions = append(r.p.actions, Action{Kind: Load, Deployment: r.d.Name, Version: x.Version,
			Instance: spec.InstanceID(x.Instance), Epoch: x.Epoch, Node: spec.NodeID(x.Node), Device: spec.DeviceID(x.Device),
			Memory: x.MemoryBytes, Source: r.source(x), Others: x.beside(), OnDemand: x.OnDemand, Reason: "its device does not have it"})
	}
}

// source is whose word the replica's memory is.
func (r *roll) source(x *replica) wire.MemorySource {
	_, source := r.memory.needs(x.dev.load)
	return source
}

// surplus ends the least useful of too many replicas. One that serves goes only
// when enough others do.
func (r *roll) surplus() {
	victims := slices.Clone(r.good)
	slices.SortFunc(victims, func(a, b *replica) int {
		return cmp.Or(cmp.Compare(b2i(r.doubled(b)), b2i(r.doubled(a))),
			cmp.Compare(b2i(a.load != nil), b2i(b.load != nil)), // one that has just been unloaded, say
			cmp.Compare(b2i(a.ready()), b2i(b.ready())), byEpoch(b, a))
	})
	ready := r.ready(r.good)
	for _, x := range victims {
		switch region := r.p.nodes[x.Node].GetRegion(); {
		case len(r.good) <= int(r.d.Replicas):
			return
		case x.Instance == "" || allowedMin(r, region) && r.in(region) <= int(r.d.MinPerRegion):
			continue
		case x.ready() && ready <= int(r.d.Replicas):
			return // wait for the others
		case x.ready():
			ready--
		}
		r.good = slices.DeleteFunc(r.good, func(y *replica) bool { return y == x })
		r.p.retire(x, "there are more replicas than wanted", true)
	}
}

func allowedMin(r *roll, region string) bool { return r.d.MinPerRegion > 0 && allowed(r.d, region) }

func (r *roll) ready(of []*replica) (n int) {
	for _, x := range of {
		if x.ready() {
			n++
		}
	}
	return n
}

// supersede ends what is to be replaced, as far as others serve in its place.
func (r *roll) supersede() {
	want := int(r.d.Replicas)
	if want > 0 || len(r.good) > 0 {
		want = max(want, len(r.good), 1)
	}
	keep := max(0, want-r.ready(r.good))
	var serving []*replica
	for _, x := range r.old {
		if x.ready() {
			serving = append(serving, x)
			continue
		}
		r.leaving++
		r.p.retire(x, x.reason, false)
	}
	for len(serving) > keep {
		r.leaving++
		r.p.retire(serving[0], serving[0].reason, true)
		serving = serving[1:]
	}
	r.makeRoom(serving)
}

// makeRoom ends one replica of an old version where a new one finds no room
// beside it: one at a time, and never the last that serves.
func (r *roll) makeRoom(serving []*replica) {
	if !r.tight || r.leaving > 0 || r.ready(r.good) < len(r.good) || len(serving)+r.ready(r.good) < 2 {
		return
	}
	for _, x := range serving {
		if x.OnDemand {
			continue // it makes room by itself
		}
		for _, d := range x.all() {
			d.free += x.MemoryBytes
		}
		devices, _ := r.p.choose(search{d: r.d, memory: r.memory})
		for _, d := range x.all() {
			d.free -= x.MemoryBytes
		}
		if devices != nil {
			r.p.retire(x, x.reason+", and has no room beside it", true)
			return
		}
	}
}

// forgetFailed drops failed replicas that are replaced, or that may be tried again.
func (r *roll) forgetFailed() {
	for _, x := range r.failed {
		f, known := r.p.o.Failures[FailureKey{r.d.Name, x.Version, spec.DeviceID(x.Device)}]
		if len(r.good) >= int(r.d.Replicas) || known && !f.Until.After(r.p.o.Now) {
			r.p.retire(x, "it failed", false)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
