package placement

import (
	"cmp"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A roll is one deployment's replicas, or those of its canary, sorted by what becomes of them.
type roll struct {
	p       *plan
	d       *wire.Deployment
	search  search // for one more replica
	want    int
	floor   int        // of want, what it must have at least
	good    []*replica // of this version, with a place worth keeping; also what this plan places
	old     []*replica // to be replaced: serve until others do
	failed  []*replica
	owed    []Cause // why those that are not good are not
	lacks   []gap   // what found no place
	leaving int     // that are being unloaded
	tight   bool    // a replica found no room
	idle    bool    // nothing can be placed: its model is not there
	trial   bool    // they are its canary's
}

// A gap is a replica that has no place.
type gap struct {
	region string // empty: any
	why    refusal
	note   string // what is being done about it
	tried  bool   // room was looked for
}

// roll sorts the deployment's replicas.
func (p *plan) roll(d *wire.Deployment) *roll {
	m := p.models[d.Model]
	r := &roll{p: p, d: d, want: int(d.Replicas), trial: p.tried[d.Name] == d}
	if n, ok := p.w.Replicas[d.Name]; ok && !r.trial {
		r.want = int(n)
	}
	r.floor = r.want
	if n, ok := p.w.Floors[d.Name]; ok {
		r.floor = min(max(int(n), 1), r.want) // the last that is wanted yields to nobody
	}
	if r.trial {
		r.floor = 0 // nothing that serves goes for it
	}
	r.search = p.searchOf(d, m, p.tally(nil))
	for _, x := range p.byDeployment[d.Name] {
		if p.byName[d.Name].Tries(x.Version) == r.trial {
			r.sort(x)
		}
	}
	r.idle = d.Model != "" && m == nil && d.Engine != "external" && d.Engine != "ollama"
	return r
}

// size is how hard the deployment is to place.
func (r *roll) size() uint64 { return r.search.memory.estimate * uint64(r.search.devices()) }

func (r *roll) sort(x *replica) {
	leaves := func(cause Cause, reason string) {
		x.cause, x.reason = cause, reason
		r.owed = append(r.owed, cause)
		r.old = append(r.old, x)
	}
	heir := r.heir(x)
	switch {
	case x.cond == lost:
		r.owed = append(r.owed, x.cause)
		r.p.retire(x, x.reason, false)
	case x.cond == sound && x.state(wire.InstanceState_INSTANCE_STATE_DRAINING):
		r.leaving++ // somebody has decided so; its placement goes when it is gone
		x.coming()
	case x.Version == r.d.GivenUp:
		r.leaving++
		r.p.retire(x, "its canary was given up", true)
		x.coming()
	case x.Version != r.d.Version:
		leaves(NewVersion, "another version replaces it")
	case heir != nil:
		x.cause, x.reason = Rebalanced, "it moves to device "+heir.Device
		r.old = append(r.old, x)
		r.p.moving++
		x.coming()
	case !allowed(r.d, x.site.node.Region):
		leaves(Ruled, "its region is not allowed")
	case !r.search.permits(x.site):
		leaves(Ruled, "its node is not among those that the deployment names")
	case r.p.intruder(x, r.d) != "":
		leaves(Ruled, "it is to be apart from "+r.p.intruder(x, r.d)+", which is on its node")
	case r.search.alone && r.search.among.nodes[x.site.at] > 0:
		leaves(Ruled, "another of its deployment is on its node")
	case x.cond == moved:
		leaves(x.cause, x.reason)
	case r.broken(x):
		r.owed = append(r.owed, Failed)
		r.failed = append(r.failed, x)
	default:
		r.good = append(r.good, x)
		r.search.among.add(x, 1)
	}
}

// coming notes that the replica's memory is on its way back.
func (r *replica) coming() {
	if r.OnDemand {
		r.leaves = true // it holds none that others could be promised, but they need not leave it room
		return
	}
	for _, d := range r.all() {
		if d != nil {
			d.coming += r.MemoryBytes
		}
	}
}

func (r *roll) broken(x *replica) bool {
	return x.state(wire.InstanceState_INSTANCE_STATE_FAILED) || r.p.o.Refused[spec.InstanceID(x.Instance)] != ""
}

// heir is the replica that takes x's place, if it stands well; nil: there is none.
func (r *roll) heir(x *replica) *replica {
	h := r.p.heirs[x.Instance]
	if h == nil || h.Deployment != x.Deployment || h.Version != r.d.Version || h.cond == lost || h.cond == moved || r.broken(h) ||
		h.state(wire.InstanceState_INSTANCE_STATE_DRAINING) || !r.search.permits(h.site) || r.p.intruder(h, r.d) != "" {
		return nil
	}
	return h
}

// fill places what is missing up to so many: regions that are short first, then the rest.
func (r *roll) fill(upTo int) {
	if r.idle {
		return
	}
	for _, region := range r.regions() {
		for n := r.in(region); n < int(r.d.MinPerRegion); n++ {
			if !r.place(region, "its region is short of replicas") {
				break
			}
		}
	}
	for len(r.good)+r.pending() < upTo {
		if !r.place("", "the deployment is short of replicas") {
			break
		}
	}
}

// pending is how many replicas regions are short of for which room is yet to be looked
// for: the rest waits for them, else there would be too many.
func (r *roll) pending() (n int) {
	for _, l := range r.lacks {
		if l.region != "" && l.why == tooFull && !l.tried {
			n += int(r.d.MinPerRegion) - r.in(l.region)
		}
	}
	return n
}

// finish says what becomes of the replicas once all have places that can.
func (r *roll) finish() {
	if r.idle {
		r.unplaced("model " + r.d.Model + " is not imported")
	}
	for _, l := range r.lacks {
		s := r.search
		s.region = l.region
		reason := r.p.explain(&s, l.why)
		if l.why == tooFull && len(r.old) > 0 {
			reason += "; what it replaces still runs"
		}
		r.unplaced(reason + l.note)
	}
	r.load()
	r.surplus()
	r.supersede()
	r.forgetFailed()
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
		if x.site.node.Region == region {
			n++
		}
	}
	return n
}

// place gives one more replica a place, in the region if one is named, or notes that there is none.
func (r *roll) place(region, reason string) bool {
	if slices.ContainsFunc(r.lacks, func(l gap) bool { return l.region == region }) {
		return false
	}
	s := r.search
	s.region = region
	devices, why := r.p.choose(&s)
	if devices == nil {
		r.tight = r.tight || why == tooFull
		r.lacks = append(r.lacks, gap{region: region, why: why})
		return false
	}
	r.put(devices, r.due(), reason)
	return true
}

// due is why a replica that is short needs a place.
func (r *roll) due() Cause {
	if len(r.owed) == 0 {
		return Scaled
	}
	c := r.owed[0]
	r.owed = r.owed[1:]
	return c
}

// put gives a new replica those devices.
func (r *roll) put(devices []*device, cause Cause, reason string) *replica {
	first, others := devices[0], devices[1:]
	need, source := r.search.memory.needs(first.load)
	for _, d := range others {
		need = max(need, r.search.memory.need(d))
	}
	a := Action{Kind: Place, Deployment: r.d.Name, Version: r.d.Version, Node: first.node, Device: first.id,
		OnDemand: r.search.onDemand, Memory: need, Source: source, Cause: cause, Reason: reason}
	placed := &wire.Placement{Deployment: r.d.Name, Version: r.d.Version, Node: string(first.node), Device: string(first.id),
		OnDemand: r.search.onDemand, MemoryBytes: need, Epoch: ^uint64(0)}
	for _, d := range others {
		a.Others = append(a.Others, d.id)
		placed.Devices = append(placed.Devices, string(d.id))
	}
	x := &replica{dev: first, site: first.site, others: others, Placement: placed, action: len(r.p.actions)}
	for _, d := range devices {
		d.account(x, true)
	}
	first.site.look()
	r.p.bar(r.d.Name, first.site, 1)
	r.good = append(r.good, x)
	r.search.among.add(x, 1)
	r.p.byDeployment[r.d.Name] = append(r.p.byDeployment[r.d.Name], x)
	r.p.actions = append(r.p.actions, a)
	return x
}

// move has x serve until a replica on those devices does.
func (r *roll) move(x *replica, devices []*device, cause Cause, reason string) *Action {
	r.good = slices.DeleteFunc(r.good, func(y *replica) bool { return y == x })
	r.search.among.add(x, -1)
	x.cause, x.reason = cause, "it moves to device "+string(devices[0].id)
	r.old = append(r.old, x)
	x.coming()
	r.p.moving++
	y := r.put(devices, cause, reason)
	y.Replaces = x.Instance
	a := &r.p.actions[y.action]
	a.Replaces = spec.InstanceID(x.Instance)
	return a
}

func (r *roll) unplaced(reason string) {
	need, _ := r.p.missing(&r.search)
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
	_, source := r.search.memory.needs(x.dev.load)
	return source
}

// surplus ends the least useful of too many replicas. One that serves goes only
// when enough others do.
func (r *roll) surplus() {
	ready := r.ready(r.good)
	for len(r.good) > r.want {
		x := r.worst()
		switch {
		case x == nil || x.ready() && ready <= r.want:
			return // wait for the others
		case x.ready():
			ready--
		}
		r.good = slices.DeleteFunc(r.good, func(y *replica) bool { return y == x })
		r.search.among.add(x, -1)
		r.p.retire(x, "there are more replicas than wanted", true)
	}
}

// worst is the replica that is missed least, of those that may go; nil: none may.
// Of equals those go whose region, zone or node has the most, then the newest.
func (r *roll) worst() *replica {
	var out *replica
	for _, x := range r.good {
		if x.Instance == "" || allowedMin(r, x.site.node.Region) && r.in(x.site.node.Region) <= int(r.d.MinPerRegion) {
			continue
		}
		if out == nil || r.worse(x, out) < 0 {
			out = x
		}
	}
	return out
}

func (r *roll) worse(a, b *replica) int {
	return cmp.Or(cmp.Compare(b2i(r.doubled(b)), b2i(r.doubled(a))),
		cmp.Compare(b2i(a.load != nil), b2i(b.load != nil)), // one that has just been unloaded, say
		cmp.Compare(b2i(a.ready()), b2i(b.ready())), r.crowded(b, a), byEpoch(b, a))
}

// crowded compares how well two replicas stand among the others.
func (r *roll) crowded(a, b *replica) int {
	sa, sb := r.stands(a), r.stands(b)
	return sa.compare(&sb)
}

// stands is how well x is placed among the others.
func (r *roll) stands(x *replica) (out standing) {
	r.search.among.add(x, -1)
	defer r.search.among.add(x, 1)
	for _, d := range x.all() {
		if d != nil {
			if s := r.search.standing(d); out.compare(&s) < 0 {
				out = s
			}
		}
	}
	return out
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
	want := r.want
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
		if x.cond == kept && (x.load == nil || x.ill() != nil) {
			continue // it is not heard of, and may well serve: its grace decides
		}
		r.leaving++
		r.p.retire(x, x.reason, false)
	}
	for len(serving) > keep {
		r.leaving++
		r.p.retire(serving[0], serving[0].reason, true)
		serving = serving[1:]
	}
	r.yield(serving)
}

// yield ends one replica of an old version where a new one finds no room
// beside it: one at a time, and never the last that serves.
func (r *roll) yield(serving []*replica) {
	if !r.yields(serving) {
		return
	}
	for _, x := range serving {
		if x.OnDemand {
			continue // it makes room by itself
		}
		for _, d := range x.all() {
			d.free += x.MemoryBytes
			d.site.look()
		}
		devices, _ := r.p.choose(&r.search)
		for _, d := range x.all() {
			d.free -= x.MemoryBytes
			d.site.look()
		}
		if devices != nil {
			r.p.retire(x, x.reason+", and has no room beside it", true)
			return
		}
	}
}

func (r *roll) yields(serving []*replica) bool {
	return r.tight && r.leaving == 0 && r.ready(r.good) == len(r.good) && len(serving)+r.ready(r.good) >= 2
}

// forgetFailed drops failed replicas that are replaced, or that may be tried again.
func (r *roll) forgetFailed() {
	for _, x := range r.failed {
		f, known := r.p.o.Failures[FailureKey{r.d.Name, x.Version, spec.DeviceID(x.Device)}]
		if len(r.good) >= r.want || known && !f.Until.After(r.p.o.Now) {
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
