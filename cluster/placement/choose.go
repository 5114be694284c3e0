package placement

import (
	"cmp"
	"iter"
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
	d       *wire.Deployment
	memory  memory
	among   *tally // of those that count as the deployment's
	region  string // only there; empty: in any allowed one
	parted  bool   // never beside another replica
	settled bool   // only where devices have been usable for long

	onDemand, pack, alone bool
	nodes, prefer         []bool  // by site; nil: the deployment names none
	lacking               []bool  // by site
	apart                 []int32 // by site: replicas of others that it is to be apart from; nil: there are no such others
	failures              map[spec.DeviceID]Failure
	digest                string // of the model's file
	fetch                 uint64 // its size

	open []*site // those that may take the deployment at all, as long as nothing changes
	shut refusal // of the others, the nearest
}

// searchOf is a search for a place of d beside those of the tally.
func (p *plan) searchOf(d *wire.Deployment, m *wire.Model, among *tally) search {
	s := search{d: d, memory: p.memoryOf(d, m), among: among, onDemand: d.GetResidency().GetOnDemand(), pack: d.GetPlacing().GetPack(), alone: alone(d),
		nodes: p.marked(d.GetPlacing().GetNodes()), prefer: p.marked(d.GetPlacing().GetPreferNodes()),
		lacking: p.without(d.Engine), apart: p.barred[d.Name], digest: string(m.GetDigest()), fetch: m.GetSize()}
	for k, f := range p.o.Failures {
		if k.Deployment == d.Name && k.Version == d.Version {
			if s.failures == nil {
				s.failures = map[spec.DeviceID]Failure{}
			}
			s.failures[k.Device] = f
		}
	}
	for _, at := range p.bySite {
		switch {
		case !s.permits(at):
		case s.lacking[at.at]:
			s.shut = max(s.shut, noEngine)
		default:
			s.open = append(s.open, at)
		}
	}
	return s
}

// without marks the sites that cannot run the engine.
func (p *plan) without(engine string) []bool {
	out, known := p.lacking[engine]
	if !known {
		out = make([]bool, len(p.siteList))
		for i, s := range p.siteList {
			out[i] = p.o.lacks(spec.NodeID(s.node.Id), engine) != ""
		}
		p.lacking[engine] = out
	}
	return out
}

// devices is how many the replica spreads over.
func (s *search) devices() int { return max(int(s.d.GetGpus()), 1) }

// choose returns the best device for one more replica, or as many as it spreads
// over, or why there are none.
func (p *plan) choose(s *search) ([]*device, refusal) {
	if s.devices() > 1 {
		return p.chooseSet(s)
	}
	var best ranked
	why := s.shut
	for _, at := range s.open {
		if best.device != nil && s.hopeless(at, &best) {
			continue // the cheapest test first: there are many devices
		}
		for _, dev := range at.usable {
			k := ranked{dev, rank{standing: s.standing(dev)}}
			if best.device != nil && k.rank.compare(&best.rank.standing) > 0 {
				continue
			}
			if r := p.declines(s, dev); r != fine {
				why = max(why, r)
				continue
			}
			if s.parted && k.rank.here > 0 {
				continue
			}
			s.complete(&k.rank, dev)
			if best.device == nil || k.before(best) {
				best = k
			}
		}
	}
	if best.device != nil {
		return []*device{best.device}, fine
	}
	return nil, max(why, noDevice)
}

// hopeless tells that no device of the site can come before best, without a look at them.
func (s *search) hopeless(at *site, best *ranked) bool {
	k := rank{standing: s.standingAt(at)}
	if c := k.compare(&best.rank.standing); c != 0 {
		return c > 0
	}
	if s.pack || s.onDemand || s.memory.estimate == 0 || len(s.memory.learnt) > 0 {
		return false
	}
	k.taken = s.fullness(at.peak, at)
	return best.rank.less(&k) || !k.less(&best.rank) && best.at < at.usable[0].at
}

// A refusal says how near a device came to taking a replica; the nearest is told.
type refusal uint8

const (
	fine refusal = iota
	noDevice
	noEngine
	tooFew
	beside
	tooFull
	failedThere
)

func (p *plan) refuse(s *search, dev *device) refusal {
	switch {
	case !dev.usable || !s.permits(dev.site):
		return noDevice
	case s.lacking[dev.site.at]:
		return noEngine
	}
	return p.declines(s, dev)
}

// declines is refuse for one that is open.
func (p *plan) declines(s *search, dev *device) refusal {
	switch {
	case s.settled && !dev.settled || s.region != "" && dev.site.node.Region != s.region:
		return noDevice
	case s.apart != nil && s.apart[dev.site.at] > 0 || s.alone && s.among.nodes[dev.site.at] > 0:
		return beside
	case !dev.fits(s.memory.need(dev), s.onDemand):
		return tooFull
	case s.failures != nil && s.failures[dev.id].Until.After(p.o.Now):
		return failedThere
	}
	return fine
}

// all are the devices of the open sites, by site.
func (s *search) all() iter.Seq[*device] {
	return func(yield func(*device) bool) {
		for _, at := range s.open {
			for _, d := range at.usable {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// permits tells whether the deployment may be there at all.
func (s *search) permits(at *site) bool {
	return (s.nodes == nil || s.nodes[at.at]) && allowed(s.d, at.node.Region)
}

// standing is how well a replica is placed among the others of its deployment, less is better.
type standing struct {
	here    int32 // whether another is on the device
	outside int32 // of the nodes that are preferred
	region  int32 // others in its region
	zone    int32
	node    int32
}

func (a *standing) compare(b *standing) int {
	switch {
	case a.here != b.here:
		return cmp.Compare(a.here, b.here)
	case a.outside != b.outside:
		return cmp.Compare(a.outside, b.outside)
	case a.region != b.region:
		return cmp.Compare(a.region, b.region)
	case a.zone != b.zone:
		return cmp.Compare(a.zone, b.zone)
	}
	return cmp.Compare(a.node, b.node)
}

// standing is that of a replica on the device, beside those of the tally.
func (s *search) standing(dev *device) standing {
	k := s.standingAt(dev.site)
	k.here = min(s.among.devices[dev.at], 1)
	return k
}

// standingAt is that of a replica on a device of the site where there is no other.
func (s *search) standingAt(at *site) (k standing) {
	if s.prefer != nil && !s.prefer[at.at] {
		k.outside = 1
	}
	if !s.pack {
		k.region, k.zone, k.node = s.among.regions[at.region], s.among.zones[at.zone], s.among.nodes[at.at]
	}
	return k
}

// rank orders devices, least first; of equals, the first by id.
type rank struct {
	standing
	beside   int32 // replicas of the deployment on the device
	failures int
	taken    uint64 // of memory, less is better
	others   int    // placements of other deployments, for those that take no memory
}

func (s *search) rank(dev *device) rank {
	k := rank{standing: s.standing(dev)}
	s.complete(&k, dev)
	return k
}

// complete fills in what stands behind the standing.
func (s *search) complete(k *rank, dev *device) {
	k.beside, k.taken, k.others = s.among.devices[dev.at], s.taken(dev), dev.replicas
	if s.failures != nil {
		k.failures = s.failures[dev.id].Count
	}
}

// taken ranks how full the device is, for this search.
func (s *search) taken(dev *device) uint64 {
	need := s.memory.need(dev)
	switch {
	case need == 0:
		return 0
	case s.onDemand: // how often over what they share is promised
		return uint64(1000 * float64(plus(plus(dev.shared, need), s.fetched(dev.site))) / float64(max(dev.free, 1)))
	}
	return s.fullness(dev.spare(), dev.site)
}

// spare is what is free beside the largest that is loaded on demand.
func (d *device) spare() uint64 { return d.free - min(d.free, d.largest) }

// fullness ranks devices that have so much to spare.
func (s *search) fullness(spare uint64, at *site) uint64 {
	if s.pack {
		return plus(spare, s.fetched(at))
	}
	return 1<<62 - min(spare, 1<<62) + s.fetched(at)
}

// fetched is the size of the model's file where the node has yet to fetch it. By as
// much it is taken for fuller: a node that has the file is chosen, unless another is
// so much emptier that it is worth the way.
func (s *search) fetched(at *site) uint64 {
	if s.digest == "" || at.models[s.digest] {
		return 0
	}
	return min(s.fetch, 1<<62)
}

func (k *rank) less(o *rank) bool {
	if c := k.standing.compare(&o.standing); c != 0 {
		return c < 0
	}
	switch {
	case k.beside != o.beside:
		return k.beside < o.beside
	case k.failures != o.failures:
		return k.failures < o.failures
	case k.taken != o.taken:
		return k.taken < o.taken
	}
	return k.others < o.others
}
