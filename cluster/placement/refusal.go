package placement

import (
	"fmt"

	"github.com/lotabots/lotabots/cluster/wire"
)

// explain says why nothing could be chosen.
func (p *plan) explain(s *search, r refusal) string {
	where := ""
	if s.region != "" {
		where = " in region " + s.region
	}
	switch r {
	case noEngine:
		return p.engineless(s, where)
	case tooFew:
		return fmt.Sprintf("no node%s has %d devices to spread it over", where, s.devices())
	case beside:
		return "every node" + where + " that could take it runs what it is to be apart from"
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
func (p *plan) missing(s *search) (need uint64, whose string) {
	var by *device
	for _, dev := range p.devices {
		if n := s.memory.need(dev); p.refuse(s, dev) == tooFull && (by == nil || n < need) {
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
func (p *plan) engineless(s *search, where string) string {
	for _, dev := range p.devices {
		if p.refuse(s, dev) == noEngine {
			return fmt.Sprintf("no node%s that may take it has the engine %s; of node %s: %s", where, s.d.Engine, dev.node, p.o.lacks(dev.node, s.d.Engine))
		}
	}
	return "no node" + where + " has the engine " + s.d.Engine
}
