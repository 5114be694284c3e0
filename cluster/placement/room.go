package placement

import (
	"fmt"
	"slices"
)

// Bounds of the search for room. It is exact in small clusters, and in large ones
// looks at the most promising devices alone.
const (
	roomMoves  = 3      // replicas that run and are moved, or ended, for one that lacks a place
	roomDepth  = 5      // of those and of the ones that this plan places
	roomBreath = 8      // devices that are tried at each step
	roomVisits = 30_000 // of devices, in one call of Plan
	roomAtOnce = 6      // moves under way in the whole cluster
)

// makeRoom moves replicas so that those find room which have none, the largest first.
func (p *plan) makeRoom(rolls []*roll) {
	var pk *packer
	for _, r := range rolls {
		for i := 0; i < len(r.lacks); i++ {
			if r.lacks[i].why != tooFull || r.lacks[i].tried {
				continue
			}
			p.hungry, r.lacks[i].tried = true, true
			if pk == nil {
				pk = p.packer()
			}
			for r.lacking(r.lacks[i]) && pk.serve(r, &r.lacks[i]) {
			}
			if !r.lacking(r.lacks[i]) {
				r.lacks = slices.Delete(r.lacks, i, i+1)
				i--
			}
		}
	}
}

// lacking tells whether the gap is still there.
func (r *roll) lacking(l gap) bool {
	if l.region != "" {
		return r.in(l.region) < int(r.d.MinPerRegion)
	}
	return len(r.good) < r.want
}

// returning notes the memory of what is replaced and has its replacement placed.
func (p *plan) returning() {
	for _, r := range p.rolls {
		for _, x := range r.old {
			if len(r.lacks) == 0 && len(r.good) >= r.want && r.heir(x) == nil {
				x.coming()
			}
		}
	}
}

// serve finds room for one replica that r lacks, and tells whether it has its place now.
func (pk *packer) serve(r *roll, l *gap) bool {
	if len(r.old) > 0 && r.yields(r.serving()) {
		return false // one of its own makes room
	}
	s := r.search
	s.region = l.region
	pk.for_ = r
	for _, ends := range []bool{false, true} {
		pk.ends = ends
		if ends && len(r.good) >= r.floor {
			break
		}
		for most := 0; most <= roomMoves && (most == 0 || !r.trial); most++ { // nothing that runs is moved for a canary
			if set := pk.find(&s, most); set != nil {
				return pk.carryOut(r, &s, set, l)
			}
		}
	}
	return false
}

func (r *roll) serving() (out []*replica) {
	for _, x := range r.old {
		if x.ready() {
			out = append(out, x)
		}
	}
	return out
}

// carryOut makes the moves that can be made now, and tells whether the replica has its place.
func (pk *packer) carryOut(r *roll, s *search, set []*device, l *gap) bool {
	moves := slices.Clone(pk.moves)
	slices.SortStableFunc(moves, func(a, b transfer) int { return b2i(b.fresh()) - b2i(a.fresh()) })
	for _, t := range moves {
		if t.fresh() && t.to != nil {
			t.x.dev.give(t.x)
		}
	}
	running, moving := 0, 0
	for _, t := range moves {
		switch {
		case t.to == nil:
			running++
			t.owner.end(t.x, r.d.Name)
		case t.fresh():
			t.owner.shift(t.x, t.to[0])
			pk.note(t.x)
		default:
			running++
			need := t.need()
			if !slices.ContainsFunc(t.to, func(d *device) bool { return !d.fits(need, t.x.OnDemand) }) && pk.p.moving < roomAtOnce {
				t.owner.move(t.x, t.to, Displaced, "it makes room for "+r.d.Name).For = r.d.Name
				moving++
			}
		}
	}
	fits := !slices.ContainsFunc(set, func(d *device) bool { return !d.fits(s.memory.need(d), s.onDemand) })
	switch {
	case running == 0 && fits:
		pk.note(r.put(set, r.due(), "the deployment is short of replicas"))
		return true
	case running == 0:
		l.note = fmt.Sprintf("; it waits for memory of device %s that is on its way back", set[0].id)
	default:
		l.note = fmt.Sprintf("; on device %s room is made for it: replicas to move: %d", set[0].id, running)
	}
	for _, d := range set {
		if !s.onDemand {
			d.hold(s.memory.need(d))
		}
	}
	return false
}

// hold keeps memory of the device for a replica that waits for the rest of it.
func (d *device) hold(bytes uint64) {
	d.owed += bytes - min(d.free, bytes)
	d.free -= min(d.free, bytes)
	d.site.look()
}

// give takes back what a replica of this plan was promised.
func (d *device) give(x *replica) {
	d.replicas--
	d.steady--
	d.free += x.MemoryBytes
	d.site.look()
}

// shift places a replica of this plan elsewhere; its device has been given back what it was promised.
func (r *roll) shift(x *replica, to *device) {
	r.search.among.add(x, -1)
	r.p.bar(r.d.Name, x.site, -1)
	r.p.bar(r.d.Name, to.site, 1)
	need, source := r.search.memory.needs(to.load)
	x.dev, x.site = to, to.site
	x.Placement.Node, x.Placement.Device, x.MemoryBytes = string(to.node), string(to.id), need
	a := &r.p.actions[x.action]
	a.Node, a.Device, a.Memory, a.Source = to.node, to.id, need, source
	to.account(x, true)
	to.site.look()
	r.search.among.add(x, 1)
}

// end has a replica leave for good, to make room for another deployment.
func (r *roll) end(x *replica, other string) {
	r.good = slices.DeleteFunc(r.good, func(y *replica) bool { return y == x })
	r.search.among.add(x, -1)
	x.coming()
	r.leaving++
	before := len(r.p.actions)
	r.p.retire(x, "it makes room for "+other+", which has fewer replicas than it must", true)
	for i := range r.p.actions[before:] {
		r.p.actions[before+i].For = other
	}
}
