package placement

import (
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A site is a node of the state, with what it shares with others as numbers, by
// which a tally counts.
type site struct {
	node             *wire.Node
	at, zone, region int
	models           map[string]bool // digests of models that it is known to have
	usable           []*device       // by id
	peak             uint64          // the most that one of them has to spare
}

// look finds the peak anew.
func (s *site) look() {
	s.peak = 0
	for _, d := range s.usable {
		s.peak = max(s.peak, d.spare())
	}
}

// gather gives the sites their devices.
func (p *plan) gather() {
	for _, d := range p.devices {
		if !d.usable {
			continue
		}
		if len(d.site.usable) == 0 {
			p.bySite = append(p.bySite, d.site)
		}
		d.site.usable = append(d.site.usable, d)
	}
	for _, s := range p.bySite {
		s.look()
	}
}

// sited numbers the nodes, their zones and their regions.
func (p *plan) sited() {
	zones, regions := map[[2]string]int{}, map[string]int{}
	for _, n := range p.w.Nodes {
		if p.sites[n.Id] != nil {
			continue
		}
		s := &site{node: n, at: len(p.siteList)}
		s.region = number(regions, n.Region)
		s.zone = number(zones, [2]string{n.Region, n.Zone})
		if digests := p.o.Notes[spec.NodeID(n.Id)].GetModels(); len(digests) > 0 {
			s.models = map[string]bool{}
			for _, d := range digests {
				s.models[string(d)] = true
			}
		}
		p.sites[n.Id] = s
		p.siteList = append(p.siteList, s)
	}
	p.zones, p.regions = len(zones), len(regions)
}

func number[K comparable](known map[K]int, k K) int {
	n, ok := known[k]
	if !ok {
		n = len(known)
		known[k] = n
	}
	return n
}

// marked are the sites of the named nodes; nil: no name is given.
func (p *plan) marked(names []string) []bool {
	if len(names) == 0 {
		return nil
	}
	out := make([]bool, len(p.siteList))
	for _, name := range names {
		if s := p.sites[name]; s != nil {
			out[s.at] = true
		}
	}
	return out
}

// A tally counts replicas of one deployment by where they are.
type tally struct{ regions, zones, nodes, devices []int32 }

func (p *plan) tally(of []*replica) *tally {
	t := &tally{regions: make([]int32, p.regions), zones: make([]int32, p.zones), nodes: make([]int32, len(p.siteList)), devices: make([]int32, len(p.devices))}
	for _, r := range of {
		t.add(r, 1)
	}
	return t
}

// add counts r n times, which may be less than none.
func (t *tally) add(r *replica, n int32) {
	if r.site == nil {
		return
	}
	t.regions[r.site.region] += n
	t.zones[r.site.zone] += n
	t.nodes[r.site.at] += n
	for _, d := range r.all() {
		if d != nil {
			t.devices[d.at] += n
		}
	}
}

// bar notes that a deployment has n more replicas on the site, for those that are to be apart from it.
func (p *plan) bar(deployment string, at *site, n int32) {
	for _, other := range p.strangers[deployment] {
		p.barred[other][at.at] += n
	}
}

// estrange gathers who is to be apart from whom.
func (p *plan) estrange() {
	p.strangers, p.barred = map[string][]string{}, map[string][]int32{}
	add := func(a, b string) {
		if a != b && !slices.Contains(p.strangers[a], b) {
			p.strangers[a] = append(p.strangers[a], b)
			p.barred[a] = make([]int32, len(p.siteList))
		}
	}
	for _, d := range p.w.Deployments {
		for _, name := range d.GetPlacing().GetApartFrom() {
			add(d.Name, name)
			add(name, d.Name)
		}
	}
}

// alone tells whether no two replicas of the deployment may be on one node.
func alone(d *wire.Deployment) bool { return slices.Contains(d.GetPlacing().GetApartFrom(), d.Name) }

// intruder names the deployment for which x is to leave its node: one that x's
// names, and that runs there. Of two that name each other, the later in the
// alphabet leaves.
func (p *plan) intruder(x *replica, d *wire.Deployment) string {
	for _, name := range d.GetPlacing().GetApartFrom() {
		other := p.byName[name]
		if name == d.Name || other != nil && slices.Contains(other.GetPlacing().GetApartFrom(), d.Name) && d.Name < name {
			continue
		}
		for _, r := range p.byDeployment[name] {
			if r.site == x.site && r.cond != lost && !r.state(wire.InstanceState_INSTANCE_STATE_DRAINING) {
				return name
			}
		}
	}
	return ""
}
