package placement

import (
	"cmp"
	"slices"
)

// A packer looks for moves that make room, on paper.
type packer struct {
	p     *plan
	rolls map[string]*roll
	on    [][]*replica // by device: those that could move
	room  []int64      // by device: beside its head-room, once what is on its way has left; below 0: too full
	base  []int64      // the same, before this search
	moves []transfer
	left  int
	for_  *roll
	ends  bool // those above their deployment's floor may be ended
}

// A transfer is a replica that leaves its device; to nil: it ends.
type transfer struct {
	x     *replica
	owner *roll
	to    *device
}

func (t transfer) need() int64 {
	if t.to == nil {
		return 0
	}
	return int64(t.owner.search.memory.need(t.to))
}

// fresh tells whether the replica is placed by this plan alone: to place it elsewhere costs nothing.
func (t transfer) fresh() bool { return t.x.Instance == "" }

func (p *plan) packer() *packer {
	pk := &packer{p: p, rolls: map[string]*roll{}, on: make([][]*replica, len(p.devices)), room: make([]int64, len(p.devices)), left: roomVisits}
	for i, d := range p.devices {
		pk.room[i] = int64(d.free+d.coming) - int64(d.owed) - int64(d.load.MemoryTotal/headroom) - int64(d.largest)
	}
	for _, r := range p.rolls {
		pk.rolls[r.d.Name] = r
		for _, x := range r.good {
			if x.dev != nil && len(x.Devices) == 0 && !x.OnDemand && x.MemoryBytes > 0 {
				pk.on[x.dev.at] = append(pk.on[x.dev.at], x)
			}
		}
	}
	return pk
}

// find looks for devices that have room after that many moves of replicas that run.
func (pk *packer) find(s *search, most int) []*device {
	for _, set := range pk.options(s) {
		if pk.left <= 0 {
			return nil
		}
		pk.base, pk.moves = slices.Clone(pk.room), pk.moves[:0]
		pk.take(s, set, 1)
		if pk.settle(most, roomDepth) {
			return set
		}
		pk.room = pk.base
	}
	return nil
}

// take has the devices hold the replica that is searched for, n times.
func (pk *packer) take(s *search, set []*device, n int64) {
	for _, d := range set {
		need := s.memory.need(d)
		if s.onDemand { // it takes no more than the largest beside it, at another time
			need = max(need, d.largest) - d.largest
		}
		pk.room[d.at] -= n * int64(need)
	}
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
	short := func(d *device) int64 { return int64(s.memory.need(d)) - pk.room[d.at] }
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
	full := pk.p.tooFull(pk.room, pk.base)
	if full == nil {
		return pk.inTurn()
	}
	if depth == 0 || pk.left <= 0 {
		return false
	}
	for _, x := range pk.victims(full) {
		t := transfer{x: x, owner: pk.rolls[x.Deployment]}
		cost := b2i(x.load != nil)
		if cost > most {
			continue
		}
		for _, t.to = range pk.targets(t) {
			if pk.try(t, full, most-cost, depth-1) {
				return true
			}
		}
		if t.to = nil; pk.ends && t.owner.spares(x) && !pk.endsAlready(t.owner) && pk.try(t, full, most-cost, depth-1) {
			return true
		}
	}
	return false
}

func (pk *packer) try(t transfer, from *device, most, depth int) bool {
	pk.moves = append(pk.moves, t)
	pk.room[from.at] += int64(t.x.MemoryBytes)
	if t.to != nil {
		pk.room[t.to.at] -= t.need()
	}
	if pk.settle(most, depth) {
		return true
	}
	pk.moves = pk.moves[:len(pk.moves)-1]
	pk.room[from.at] -= int64(t.x.MemoryBytes)
	if t.to != nil {
		pk.room[t.to.at] += t.need()
	}
	return false
}

// tooFull is the first device that has been given too much; one that nothing was given to is left alone.
func (p *plan) tooFull(room, base []int64) *device {
	for i, n := range room {
		if n < 0 && n < base[i] {
			return p.devices[i]
		}
	}
	return nil
}

// spares tells whether the deployment has as many as it must without x. One that is
// loaded ends only where all serve; one that is not is missed by nobody.
func (r *roll) spares(x *replica) bool {
	region := x.site.node.Region
	if x.Instance == "" || len(r.good) <= r.floor || len(r.good) > r.want || allowedMin(r, region) && r.in(region) <= int(r.d.MinPerRegion) {
		return false
	}
	return x.load == nil || r.ready(r.good) == len(r.good)
}

func (pk *packer) endsAlready(r *roll) bool {
	return slices.ContainsFunc(pk.moves, func(t transfer) bool { return t.owner == r && t.to == nil })
}

// victims are the replicas of the device that could leave it: first one that is enough by itself, the smallest such.
func (pk *packer) victims(d *device) (out []*replica) {
	for _, x := range pk.on[d.at] {
		if x.dev == d && pk.movable(x) && !slices.ContainsFunc(pk.moves, func(t transfer) bool { return t.x == x }) {
			out = append(out, x)
		}
	}
	lacks := uint64(-pk.room[d.at])
	slices.SortStableFunc(out, func(a, b *replica) int {
		if ea, eb := a.MemoryBytes >= lacks, b.MemoryBytes >= lacks; ea != eb {
			return b2i(eb) - b2i(ea)
		} else if ea {
			return cmp.Compare(a.MemoryBytes, b.MemoryBytes)
		}
		return cmp.Compare(b.MemoryBytes, a.MemoryBytes)
	})
	return out
}

// movable tells whether x may be moved: it serves, and its deployment is at rest, or
// it is placed by this plan.
func (pk *packer) movable(x *replica) bool {
	r := pk.rolls[x.Deployment]
	if r == pk.for_ || !slices.Contains(r.good, x) {
		return false
	}
	return x.Instance == "" && x.Replaces == "" || pk.ends && x.load == nil && r.spares(x) || x.ready() && x.cond == sound && len(r.old) == 0 && r.leaving == 0 && len(r.failed) == 0
}

// targets are the devices that could take the replica: those with room first, as its
// deployment would choose among them; then those that would have to part with another.
func (pk *packer) targets(t transfer) []*device {
	if !t.fresh() && t.x.load == nil {
		return nil // it may end, and is not worth a move
	}
	s := t.owner.search
	if region := t.x.site.node.Region; t.owner.d.MinPerRegion > 0 && t.owner.in(region) <= int(t.owner.d.MinPerRegion) {
		s.region = region
	}
	s.among.add(t.x, -1)
	defer s.among.add(t.x, 1)
	var roomy, tight []ranked
	for d := range s.all() {
		pk.left--
		if r := pk.p.declines(&s, d); d == t.x.dev || r != fine && r != tooFull || s.failures[d.id].Until.After(pk.p.o.Now) {
			continue
		}
		k := ranked{d, s.rank(d)}
		if pk.room[d.at] >= int64(s.memory.need(d)) {
			roomy = append(roomy, k)
		} else {
			tight = append(tight, k)
		}
	}
	slices.SortStableFunc(roomy, func(a, b ranked) int { return b2i(b.before(a)) - b2i(a.before(b)) })
	slices.SortStableFunc(tight, func(a, b ranked) int { return cmp.Compare(pk.room[b.at], pk.room[a.at]) })
	var out []*device
	for _, k := range slices.Concat(roomy[:min(len(roomy), roomBreath)], tight[:min(len(tight), roomBreath)]) {
		out = append(out, k.device)
	}
	return out
}

// inTurn tells whether the moves can be made: those of this plan's own at once, the
// others one after the other, each with the memory of both places for a while.
func (pk *packer) inTurn() bool {
	room := slices.Clone(pk.base)
	for _, t := range pk.moves {
		if t.fresh() || t.to == nil { // no sooner said than done
			room[t.x.dev.at] += int64(t.x.MemoryBytes)
		}
		if t.fresh() && t.to != nil {
			room[t.to.at] -= t.need()
		}
	}
	pending := slices.DeleteFunc(slices.Clone(pk.moves), func(t transfer) bool { return t.fresh() || t.to == nil })
	for len(pending) > 0 {
		i := slices.IndexFunc(pending, func(t transfer) bool { return room[t.to.at] >= t.need() })
		if i < 0 {
			return false
		}
		room[pending[i].to.at] -= pending[i].need()
		room[pending[i].x.dev.at] += int64(pending[i].x.MemoryBytes)
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
			if t.to != nil {
				gained[t.to] -= t.need()
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
