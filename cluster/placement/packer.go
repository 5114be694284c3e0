package placement

import (
	"cmp"
	"slices"
)

// A packer looks for moves that make room, on paper.
type packer struct {
	p     *plan
	rolls map[running]*roll
	on    [][]*replica // by device: those that could move
	now   ledger
	base  ledger // as it was before this search
	moves []transfer
	left  int
	for_  *roll
	ends  bool // those above their deployment's floor may be ended
}

// running is what a roll's replicas are.
type running struct {
	deployment string
	version    uint64
}

// owner is the roll whose good replica x is.
func (pk *packer) owner(x *replica) *roll { return pk.rolls[running{x.Deployment, x.Version}] }

// A transfer is a replica that leaves its devices for others of one node; to none: it ends.
type transfer struct {
	x     *replica
	owner *roll
	to    []*device
}

// need is what it takes on each of them.
func (t transfer) need() uint64 { return t.owner.search.needs(t.to) }

// needs is what a replica takes on each of the devices.
func (s *search) needs(set []*device) (need uint64) {
	for _, d := range set {
		need = max(need, s.memory.need(d))
	}
	return need
}

// fresh tells whether the replica is placed by this plan alone: to place it elsewhere costs nothing.
func (t transfer) fresh() bool { return t.x.Instance == "" }

func (p *plan) packer() *packer {
	pk := &packer{p: p, rolls: map[running]*roll{}, on: make([][]*replica, len(p.devices)), now: p.ledger(), left: roomVisits}
	for _, r := range p.rolls {
		pk.rolls[running{r.d.Name, r.d.Version}] = r
		for _, x := range r.good {
			pk.note(x)
		}
	}
	return pk
}

// note has the replica among those that could move, if it may be.
func (pk *packer) note(x *replica) {
	if x.MemoryBytes == 0 || slices.Contains(x.all(), nil) || x.Instance == "" && (x.OnDemand || len(x.Devices) > 0) {
		return
	}
	for _, d := range x.all() {
		pk.on[d.at] = append(pk.on[d.at], x)
	}
}

// find looks for devices that have room after that many moves of replicas that run.
func (pk *packer) find(s *search, most int) []*device {
	for _, set := range pk.options(s) {
		if pk.left <= 0 {
			return nil
		}
		pk.base, pk.moves = pk.now.clone(), pk.moves[:0]
		need := s.needs(set)
		for _, d := range set {
			pk.now.enter(d, need, s.onDemand)
		}
		pk.p.bar(s.d.Name, set[0].site, 1)
		found := pk.settle(most, roomDepth)
		pk.p.bar(s.d.Name, set[0].site, -1)
		if found {
			return set
		}
		pk.now = pk.base
	}
	return nil
}

// options are the devices where the replica could be but for memory, those that lack least first.
func (pk *packer) options(s *search) (out [][]*device) {
	by := map[kindAt][]*device{}
	var sites []kindAt
	for d := range s.all() {
		pk.left--
		if r := pk.p.declines(s, d); r != fine && r != tooFull || s.failures[d.id].Until.After(pk.p.o.Now) {
			continue
		}
		k := kindAt{d.at, ""}
		if s.devices() > 1 {
			k = kindAt{d.site.at, d.load.Kind}
		}
		if by[k] == nil {
			sites = append(sites, k)
		}
		by[k] = append(by[k], d)
	}
	short := func(d *device) int64 { return int64(s.memory.need(d)) - pk.now.spare(d) }
	for _, k := range sites {
		set := by[k]
		slices.SortStableFunc(set, func(a, b *device) int { return cmp.Compare(short(a), short(b)) })
		if len(set) >= s.devices() {
			out = append(out, set[:s.devices()])
		}
	}
	slices.SortStableFunc(out, func(a, b []*device) int { return cmp.Compare(short(a[len(a)-1]), short(b[len(b)-1])) })
	return out[:min(len(out), 2*roomBreath)]
}

// settle moves replicas away from devices that are too full, until none is.
func (pk *packer) settle(most, depth int) bool {
	full := pk.tooFull()
	if full == nil {
		return pk.inTurn()
	}
	if depth == 0 || pk.left <= 0 {
		return false
	}
	for _, x := range pk.victims(full) {
		t := transfer{x: x, owner: pk.owner(x)}
		cost := b2i(x.load != nil)
		if cost > most {
			continue
		}
		for _, t.to = range pk.targets(t, full) {
			if pk.try(t, most-cost, depth-1) {
				return true
			}
		}
		if t.to = nil; pk.ends && pk.spares(t.owner, x) && !pk.endsAlready(t.owner) && pk.try(t, most-cost, depth-1) {
			return true
		}
	}
	return false
}

func (pk *packer) try(t transfer, most, depth int) bool {
	pk.moves = append(pk.moves, t)
	pk.now.move(t)
	if t.to != nil {
		pk.p.bar(t.owner.d.Name, t.to[0].site, 1)
		defer pk.p.bar(t.owner.d.Name, t.to[0].site, -1) // who carries it out notes it anew
	}
	if pk.settle(most, depth) {
		return true
	}
	pk.moves = pk.moves[:len(pk.moves)-1]
	pk.now.back(t)
	return false
}

// tooFull is the first device that has been given too much; one that nothing was given to is left alone.
func (pk *packer) tooFull() *device {
	for _, d := range pk.p.devices {
		if n := pk.now.spare(d); n < 0 && n < pk.base.spare(d) {
			return d
		}
	}
	return nil
}

// spares tells whether the deployment has as many as it must without x. One that is
// loaded ends only where all serve; one that is not is missed by nobody.
func (pk *packer) spares(r *roll, x *replica) bool {
	if x.Instance == "" || len(r.good) <= r.floor || len(r.good) > r.want || pk.needed(r, x) && allowed(r.d, x.site.node.Region) {
		return false
	}
	return x.load == nil || r.ready(r.good) == len(r.good)
}

// needed tells whether x's region has no more of the deployment than it must, once those
// have left that are to.
func (pk *packer) needed(r *roll, x *replica) bool {
	region := x.site.node.Region
	stay := r.in(region)
	for _, t := range pk.moves {
		if t.owner == r && t.x.site.node.Region == region && (t.to == nil || t.to[0].site.node.Region != region) {
			stay--
		}
	}
	return r.d.MinPerRegion > 0 && stay <= int(r.d.MinPerRegion)
}

func (pk *packer) endsAlready(r *roll) bool {
	return slices.ContainsFunc(pk.moves, func(t transfer) bool { return t.owner == r && t.to == nil })
}

// victims are the replicas of the device that could leave it: first one that is enough by itself, the smallest such.
// Of those that are loaded on demand the largest alone takes room from others.
func (pk *packer) victims(d *device) []*replica {
	type victim struct {
		*replica
		gain uint64
	}
	var found []victim
	for _, x := range pk.on[d.at] {
		switch {
		case !slices.Contains(x.all(), d) || x.OnDemand && x.MemoryBytes < pk.now.most[d.at]:
		case !pk.movable(x) || slices.ContainsFunc(pk.moves, func(t transfer) bool { return t.x == x }):
		default:
			found = append(found, victim{x, pk.now.gain(d, x)})
		}
	}
	lacks := uint64(-pk.now.spare(d))
	slices.SortStableFunc(found, func(a, b victim) int {
		if ea, eb := a.gain >= lacks, b.gain >= lacks; ea != eb {
			return b2i(eb) - b2i(ea)
		} else if ea {
			return cmp.Compare(a.gain, b.gain)
		}
		return cmp.Compare(b.gain, a.gain)
	})
	out := make([]*replica, len(found))
	for i, v := range found {
		out[i] = v.replica
	}
	return out
}

// movable tells whether x may be moved: it serves, and its deployment is at rest, or
// it is placed by this plan.
func (pk *packer) movable(x *replica) bool {
	r := pk.owner(x)
	if r == pk.for_ || !slices.Contains(r.good, x) {
		return false
	}
	return x.Instance == "" && x.Replaces == "" || pk.ends && x.load == nil && pk.spares(r, x) || x.ready() && x.cond == sound && len(r.old) == 0 && r.leaving == 0 && len(r.failed) == 0
}

// targets are the devices that could take the replica, which leaves from: those with
// room first, as its deployment would choose among them; then those that would have to
// part with another.
func (pk *packer) targets(t transfer, from *device) [][]*device {
	if !t.fresh() && (t.x.load == nil || pk.p.w.Still) {
		return nil // it may end, and is not worth a move
	}
	s := t.owner.search
	if pk.needed(t.owner, t.x) {
		s.region = t.x.site.node.Region
	}
	s.among.add(t.x, -1)
	defer s.among.add(t.x, 1)
	for _, m := range pk.moves {
		if m.owner == t.owner && m.to != nil {
			comes := &replica{dev: m.to[0], others: m.to[1:], site: m.to[0].site}
			s.among.add(comes, 1)
			defer s.among.add(comes, -1)
		}
	}
	var roomy, tight []ranked
	for d := range s.all() {
		pk.left--
		if r := pk.p.declines(&s, d); d == from || r != fine && r != tooFull || s.failures[d.id].Until.After(pk.p.o.Now) {
			continue
		}
		k := ranked{d, s.rank(d)}
		if pk.now.admits(d, s.memory.need(d), s.onDemand) {
			roomy = append(roomy, k)
		} else {
			tight = append(tight, k)
		}
	}
	slices.SortStableFunc(roomy, func(a, b ranked) int { return b2i(b.before(a)) - b2i(a.before(b)) })
	slices.SortStableFunc(tight, func(a, b ranked) int { return cmp.Compare(pk.now.spare(b.device), pk.now.spare(a.device)) })
	if n := s.devices(); n > 1 {
		return sets(roomy, tight, n)
	}
	var out [][]*device
	for _, k := range slices.Concat(roomy[:min(len(roomy), roomBreath)], tight[:min(len(tight), roomBreath)]) {
		out = append(out, []*device{k.device})
	}
	return out
}

// sets are n devices of a node and a kind each: first those that all have room.
func sets(roomy, tight []ranked, n int) (out [][]*device) {
	var some [][]*device
	seen := map[kindAt]bool{}
	for _, first := range slices.Concat(roomy, tight) {
		k := kindAt{first.site.at, first.load.Kind}
		if seen[k] {
			continue
		}
		seen[k] = true
		there := func(of []ranked) (in []ranked) {
			for _, r := range of {
				if r.site == first.site {
					in = append(in, r)
				}
			}
			return in
		}
		if set := devicesOf(around(first, there(roomy), n)); set != nil && slices.Contains(roomy, first) {
			out = append(out, set)
		} else if set := devicesOf(around(first, slices.Concat(there(roomy), there(tight)), n)); set != nil {
			some = append(some, set)
		}
	}
	return slices.Concat(out[:min(len(out), roomBreath)], some[:min(len(some), roomBreath)])
}

func devicesOf(set []ranked) (out []*device) {
	for _, r := range set {
		out = append(out, r.device)
	}
	return out
}

// inTurn tells whether the moves can be made: those of this plan's own at once, the
// others one after the other, each with the memory of both places for a while.
func (pk *packer) inTurn() bool {
	sim := pk.base.clone()
	var pending []transfer
	for _, t := range pk.moves {
		if t.fresh() || t.to == nil { // no sooner said than done
			sim.move(t)
		} else {
			pending = append(pending, t)
		}
	}
	for len(pending) > 0 {
		i := slices.IndexFunc(pending, sim.holds)
		if i < 0 {
			return false
		}
		sim.move(pending[i])
		pending = slices.Delete(pending, i, i+1)
	}
	return pk.reassigns()
}

// reassigns tells whether what this plan has placed fits where it goes now, before
// anything that runs has left.
func (pk *packer) reassigns() bool {
	gained := map[*device]int64{}
	for _, t := range pk.moves {
		if t.fresh() {
			gained[t.x.dev] += int64(t.x.MemoryBytes)
			for _, d := range t.to {
				gained[d] -= int64(t.need())
			}
		}
	}
	for d, n := range gained {
		if n < 0 && int64(d.free)+n < int64(d.load.MemoryTotal/headroom+d.largest) {
			return false
		}
	}
	return true
}
