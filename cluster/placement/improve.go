package placement

import (
	"slices"
)

// What a move of a replica that runs well has to earn. Two of one deployment on one
// device are parted at once. Else the replica has to stand better by a whole rank:
// its region, zone or node has two more of the deployment than the place that it
// gets, so that a move never calls for the move back. Or its device has so many more
// than another that it is badly lopsided.
const (
	movesAtOnce = 2 // in the whole cluster, while nothing lacks memory
	crowding    = 3 // more instances that are always loaded than on the device that it goes to
)

// improve moves one replica to where it stands better, if the deployment is at rest.
func (r *roll) improve() {
	if r.p.w.Still || r.idle || len(r.good) != r.want || len(r.old)+len(r.lacks)+r.leaving > 0 || r.p.moving >= movesAtOnce {
		return
	}
	for _, x := range r.good {
		if r.doubled(x) && x.ready() {
			s := r.search
			s.region, s.parted = x.site.node.Region, true
			if devices, _ := r.p.choose(&s); devices != nil {
				r.move(x, devices, Rebalanced, "another replica shares its device")
				return
			}
		}
	}
	if r.p.hungry || r.p.w.SettleAfter <= 0 || r.ready(r.good) < len(r.good) {
		return
	}
	least := r.least()
	worst := slices.Clone(r.good)
	slices.SortStableFunc(worst, func(a, b *replica) int { return r.crowded(b, a) })
	for _, x := range worst {
		if r.raise(x, least) {
			return
		}
	}
}

// bounds is the least that any settled place of a deployment has.
type bounds struct {
	standing
	steady int
}

func (r *roll) least() (b bounds) {
	first := true
	for d := range r.search.all() {
		if !d.settled {
			continue
		}
		s := r.search.standing(d)
		if first {
			b, first = bounds{s, d.steady}, false
			continue
		}
		b.region, b.zone, b.node, b.steady = min(b.region, s.region), min(b.zone, s.zone), min(b.node, s.node), min(b.steady, d.steady)
	}
	return b
}

// raise moves x where that earns its cost.
func (r *roll) raise(x *replica, least bounds) bool {
	now := r.stands(x)
	lopsided := now.here+now.outside > 0 || now.region > least.region || now.zone > least.zone || now.node > least.node
	full := !r.search.pack && len(x.Devices) == 0 && !x.OnDemand && x.dev.steady-least.steady >= crowding
	if !lopsided && !full {
		return false
	}
	s := r.search
	s.settled = true
	if region := x.site.node.Region; r.d.MinPerRegion > 0 && r.in(region) <= int(r.d.MinPerRegion) {
		s.region = region
	}
	s.among.add(x, -1)
	devices, _ := r.p.choose(&s)
	var then standing
	for _, d := range devices {
		if k := s.standing(d); then.compare(&k) < 0 {
			then = k
		}
	}
	s.among.add(x, 1)
	switch better := then.compare(&now); {
	case devices == nil:
		return false
	case better < 0:
		r.move(x, devices, Rebalanced, "it stands better there among the others of its deployment")
	case better == 0 && full && x.dev.steady-devices[0].steady >= crowding:
		r.move(x, devices, Rebalanced, "its device has many more instances")
	default:
		return false
	}
	return true
}
