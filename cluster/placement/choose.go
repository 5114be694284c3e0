package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// headroom is the part of a device, one in so many, that placements leave free:
// what an engine takes is known only once it runs.
const headroom = 16

// fits tells whether the device can promise need bytes and keep its head-room.
// What is loaded on demand has to fit beside what is always loaded; and what is
// always loaded has to leave room for the largest of the others.
func (d *device) fits(need uint64, onDemand bool) bool {
	if need == 0 {
		return true
	}
	spare := d.load.MemoryTotal / headroom
	if !onDemand {
		spare += d.largest
	}
	return d.free >= spare && d.free-spare >= need
}

func allowed(d *wire.Deployment, region string) bool {
	return len(d.Regions) == 0 || slices.Contains(d.Regions, region)
}

// A search looks for a place for one more replica.
type search struct {
	d      *wire.Deployment
	memory memory
	region string     // only there; empty: in any allowed one
	among  []*replica // those that count as the deployment's
	parted bool       // never beside another replica
}

func (s search) onDemand() bool { return s.d.GetResidency().GetOnDemand() }

// devices is how many the replica spreads over.
func (s search) devices() int { return max(int(s.d.GetGpus()), 1) }

// choose returns the best device for one more replica, or as many as it spreads
// over, or why there are none.
func (p *plan) choose(s search) ([]*device, refusal) {
	if s.devices() > 1 {
		return p.chooseSet(s)
	}
	var best *device
	var bestRank rank
	var why refusal
	for _, dev := range p.devices {
		if r := p.refuse(s, dev); r != fine {
			why = max(why, r)
			continue
		}
		k := p.rank(s, dev)
		if s.parted && k.here > 0 {
			continue
		}
		if best == nil || k.less(bestRank) {
			best, bestRank = dev, k
		}
	}
	if best != nil {
		return []*device{best}, fine
	}
	return nil, max(why, noDevice)
}

// chooseSet returns the best devices of one node: those that reach each other
// fastest, then those that one alone would be placed on. The first of them is the
// one by which the instance is known.
func (p *plan) chooseSet(s search) ([]*device, refusal) {
	by := map[spec.NodeID][]*device{}
	var why refusal
	enough := false
	for _, dev := range p.devices {
		r := p.refuse(s, dev)
		if r == fine && s.parted && p.rank(s, dev).here > 0 {
			continue
		}
		if why = max(why, r); r == fine {
			by[dev.node] = append(by[dev.node], dev)
		}
		enough = enough || p.count(dev) >= s.devices()
	}
	var best []*device
	bestLinks := -1
	for _, dev := range p.devices {
		set := p.around(s, dev, by[dev.node])
		if set == nil {
			continue
		}
		if n := links(set); n > bestLinks || n == bestLinks && p.rank(s, set[0]).less(p.rank(s, best[0])) {
			best, bestLinks = set, n
		}
	}
	switch {
	case best != nil:
		return best, fine
	case !enough:
		return nil, tooFew
	}
	return nil, max(why, noDevice)
}

// count is how many devices of the device's kind its node has.
func (p *plan) count(dev *device) (n int) {
	for _, d := range p.devices {
		if d.node == dev.node && d.load.Kind == dev.load.Kind {
			n++
		}
	}
	return n
}

// around is the set that begins with dev, of those that may take the replica: the
// ones that dev reaches fastest, then the emptiest. Nil: dev is none of them, or
// they are too few.
func (p *plan) around(s search, dev *device, among []*device) []*device {
	if !slices.Contains(among, dev) || len(among) < s.devices() {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(among), func(d *device) bool { return d == dev || d.load.Kind != dev.load.Kind })
	slices.SortStableFunc(others, func(a, b *device) int {
		if c := cmp.Compare(b2i(linked(dev, b)), b2i(linked(dev, a))); c != 0 {
			return c
		}
		return b2i(p.rank(s, b).less(p.rank(s, a))) - b2i(p.rank(s, a).less(p.rank(s, b)))
	})
	if len(others) < s.devices()-1 {
		return nil
	}
	return append([]*device{dev}, others[:s.devices()-1]...)
}

func linked(a, b *device) bool { return slices.Contains(a.load.Links, string(b.id)) }

// links counts the pairs of the set that reach each other fastest.
func links(set []*device) (n int) {
	for i, a := range set {
		for _, b := range set[i+1:] {
			n += b2i(linked(a, b))
		}
	}
	return n
}

// A refusal says how near a device came to taking a replica; the nearest is told.
type refusal uint8

const (
	fine refusal = iota
	noDevice
	noEngine
	tooFew
	tooFull
	failedThere
)

func (p *plan) refuse(s search, dev *device) refusal {
	switch {
	case !dev.usable || !allowed(s.d, dev.region) || s.region != "" && dev.region != s.region:
		return noDevice
	case p.o.lacks(dev.node, s.d.Engine) != "":
		return noEngine
	case !dev.fits(s.memory.need(dev), s.onDemand()):
		return tooFull
	case p.o.Failures[FailureKey{s.d.Name, s.d.Version, dev.id}].Until.After(p.o.Now):
		return failedThere
	}
	return fine
}

// rank orders devices, least first.
type rank struct {
	here     int // replicas of the deployment on the device
	region   int // in its region
	zone     int
	node     int
	failures int
	taken    uint64 // of memory, less is better: the complement of what is free
	others   int    // placements of other deployments, for those that take no memory
	id       spec.DeviceID
}

func (p *plan) rank(s search, dev *device) rank {
	k := rank{id: dev.id, taken: s.taken(dev), others: dev.replicas,
		failures: p.o.Failures[FailureKey{s.d.Name, s.d.Version, dev.id}].Count}
	for _, r := range s.among {
		n := p.nodes[r.Node]
		switch {
		case n.GetRegion() != dev.region:
			continue
		case slices.Contains(r.ids(), string(dev.id)):
			k.here++
		}
		k.region++
		if n.GetZone() == dev.zone {
			k.zone++
		}
		if r.Node == string(dev.node) {
			k.node++
		}
	}
	return k
}

// taken ranks how full the device is, for this search.
func (s search) taken(dev *device) uint64 {
	need := s.memory.need(dev)
	switch {
	case need == 0:
		return 0
	case s.onDemand(): // how often over what they share is promised
		return uint64(1000 * float64(dev.shared+need) / float64(max(dev.free, 1)))
	}
	return ^(dev.free - min(dev.free, dev.largest))
}

func (k rank) less(o rank) bool {
	return cmp.Or(cmp.Compare(min(k.here, 1), min(o.here, 1)), cmp.Compare(k.region, o.region), cmp.Compare(k.zone, o.zone),
		cmp.Compare(k.node, o.node), cmp.Compare(k.here, o.here), cmp.Compare(k.failures, o.failures),
		cmp.Compare(k.taken, o.taken), cmp.Compare(k.others, o.others), cmp.Compare(k.id, o.id)) < 0
}

// explain says why nothing could be chosen.
func (p *plan) explain(s search, r refusal) string {
	where := ""
	if s.region != "" {
		where = " in region " + s.region
	}
	switch r {
	case noEngine:
		return p.engineless(s, where)
	case tooFew:
		return fmt.Sprintf("no node%s has %d devices to spread it over", where, s.devices())
	case tooFull:
		need, whose := p.missing(s)
		if n := s.devices(); n > 1 {
			return fmt.Sprintf("no node%s has %d devices with %d MiB free each beside their head-room%s", where, n, ceilMiB(need), whose)
		}
		return fmt.Sprintf("no device%s has %d MiB free beside its head-room%s", where, ceilMiB(need), whose)
	case failedThere:
		return "it failed" + where + " on every device that has room; it is tried again after a while"
	default:
		return "no healthy device of an active worker" + where + " may take it"
	}
}

// missing is the least that a device which is too full would have to give, and whose
// word that is where it is not the estimate.
func (p *plan) missing(s search) (need uint64, whose string) {
	var by *device
	for _, dev := range p.devices {
		if n := s.memory.need(dev); p.refuse(s, dev) == tooFull && (s.region == "" || dev.region == s.region) && (by == nil || n < need) {
			by, need = dev, n
		}
	}
	if by == nil {
		return s.memory.least(), ""
	}
	if _, source := s.memory.needs(by.load); source == wire.MemorySource_MEMORY_SOURCE_LEARNT {
		l, _ := s.memory.on(by.load)
		return need, fmt.Sprintf(": so much was learnt, of loads measured: %d, where %d MiB are estimated", l.Loads, ceilMiB(s.memory.estimate))
	}
	return need, ""
}

// engineless says why no node has the engine, by the word of the first of those that
// would take the replica if they had.
func (p *plan) engineless(s search, where string) string {
	for _, dev := range p.devices {
		if p.refuse(s, dev) == noEngine {
			return fmt.Sprintf("no node%s that may take it has the engine %s; of node %s: %s", where, s.d.Engine, dev.node, p.o.lacks(dev.node, s.d.Engine))
		}
	}
	return "no node" + where + " has the engine " + s.d.Engine
}
