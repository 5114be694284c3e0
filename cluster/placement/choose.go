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
func (d *device) fits(need uint64) bool {
	if need == 0 {
		return true
	}
	spare := d.load.MemoryTotal / headroom
	return d.free >= spare && d.free-spare >= need
}

func allowed(d *wire.Deployment, region string) bool {
	return len(d.Regions) == 0 || slices.Contains(d.Regions, region)
}

// A search looks for a place for one more replica.
type search struct {
	d      *wire.Deployment
	need   uint64
	region string     // only there; empty: in any allowed one
	among  []*replica // those that count as the deployment's
	parted bool       // never beside another replica
}

// choose returns the best device for one more replica, or why there is none.
func (p *plan) choose(s search) (*device, refusal) {
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
		return best, fine
	}
	return nil, max(why, noDevice)
}

// A refusal says how near a device came to taking a replica; the nearest is told.
type refusal uint8

const (
	fine refusal = iota
	noDevice
	tooFull
	failedThere
)

func (p *plan) refuse(s search, dev *device) refusal {
	switch {
	case !dev.usable || !allowed(s.d, dev.region) || s.region != "" && dev.region != s.region:
		return noDevice
	case !dev.fits(s.need):
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
	k := rank{id: dev.id, taken: ^dev.free, others: dev.replicas,
		failures: p.o.Failures[FailureKey{s.d.Name, s.d.Version, dev.id}].Count}
	for _, r := range s.among {
		n := p.nodes[r.Node]
		switch {
		case n.GetRegion() != dev.region:
			continue
		case spec.DeviceID(r.Device) == dev.id:
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
	if s.need == 0 {
		k.taken = 0
	}
	return k
}

func (k rank) less(o rank) bool {
	return cmp.Or(cmp.Compare(min(k.here, 1), min(o.here, 1)), cmp.Compare(k.region, o.region), cmp.Compare(k.zone, o.zone),
		cmp.Compare(k.node, o.node), cmp.Compare(k.here, o.here), cmp.Compare(k.failures, o.failures),
		cmp.Compare(k.taken, o.taken), cmp.Compare(k.others, o.others), cmp.Compare(k.id, o.id)) < 0
}

// explain says why nothing could be chosen.
func (s search) explain(r refusal) string {
	where := ""
	if s.region != "" {
		where = " in region " + s.region
	}
	switch r {
	case tooFull:
		return fmt.Sprintf("no device%s has %d MiB free beside its head-room", where, s.need>>20)
	case failedThere:
		return "it failed" + where + " on every device that has room; it is tried again after a while"
	default:
		return "no healthy device of an active worker" + where + " may take it"
	}
}
