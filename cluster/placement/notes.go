package placement

import (
	"fmt"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// lacks tells why the node cannot run the engine preset; empty: it can, or has
// not been asked, being of a build that tells nothing of itself.
func (o *Observed) lacks(node spec.NodeID, preset string) string {
	note, tells := o.Notes[node]
	switch {
	case !tells:
		return ""
	case note == nil:
		return "it has not told yet which engines it has"
	}
	var has []string
	for _, p := range note.Presets {
		switch {
		case p.Name == preset && p.Lacks == "":
			return ""
		case p.Name == preset:
			return p.Lacks
		case p.Lacks == "":
			has = append(has, p.Name)
		}
	}
	return fmt.Sprintf("it has no engine preset %s; it has %s", preset, strings.Join(has, ", "))
}

// A kind is what memory is learnt of, on devices of any name.
type kind struct{ model, engine, flags string }

func kindOf(d *wire.Deployment, m *wire.Model) kind {
	k := kind{d.Model, d.Engine, spec.MemoryFlags(d.Context, d.Slots, d.Options, int(max(d.Gpus, 1)), len(d.Adapters))}
	if len(m.GetDigest()) > 0 {
		k.model = fmt.Sprintf("%x", m.Digest)
	}
	return k
}

// A Learnt is what instances of a kind were measured to take.
type Learnt struct {
	Bytes uint64 // to reserve on each device
	Loads int    // that were measured, on all nodes
	// Agreed says that they agree well enough to reserve less than an estimate, or more than twice as much.
	Agreed bool
}

// need is what to reserve where bytes were estimated. What loads have not agreed upon
// raises that to its double at most: one strange load is to crowd out nobody.
func (l Learnt) need(bytes uint64) uint64 {
	if l.Agreed {
		return max(l.Bytes, bytes/2)
	}
	return max(min(l.Bytes, plus(bytes, bytes)), bytes)
}

// learn gathers what all nodes have told: of the same kind on the same devices, the most counts.
func (p *plan) learn() {
	p.learnt = map[kind]map[string]Learnt{}
	for _, note := range p.o.Notes {
		for _, l := range note.GetLearnt() {
			k := kind{l.Model, l.Engine, l.Flags}
			if p.learnt[k] == nil {
				p.learnt[k] = map[string]Learnt{}
			}
			have, known := p.learnt[k][l.Device]
			p.learnt[k][l.Device] = Learnt{Bytes: max(have.Bytes, l.Bytes), Loads: have.Loads + int(l.Loads), Agreed: l.Agreed && (have.Agreed || !known)}
		}
	}
}

// shortName is what digests cut devices' names to where they lack room.
const shortName = 20

// A memory is what one replica takes, by device: learnt where somebody has, else
// estimated; what an operator states is kept.
type memory struct {
	estimate uint64
	stated   bool
	learnt   map[string]Learnt // by the device's name
}

func (p *plan) memoryOf(d *wire.Deployment, m *wire.Model) memory {
	out := memory{estimate: Estimated(d, m, p.adaptersOf(d)...).Bytes(), stated: d.MemoryBytes > 0}
	if !out.stated && out.estimate > 0 {
		out.learnt = p.learnt[kindOf(d, m)]
	}
	return out
}

// adaptersOf is the models of d's adapters, as far as they are imported.
func (p *plan) adaptersOf(d *wire.Deployment) (out []*wire.Model) {
	for _, a := range d.Adapters {
		if m := p.models[a.Model]; m != nil {
			out = append(out, m)
		}
	}
	return out
}

// on is what was learnt on devices of dev's name, if anything was.
func (m memory) on(dev *wire.DeviceLoad) (l Learnt, known bool) {
	if l, known = m.learnt[dev.Name]; known || len(dev.Name) != shortName {
		return l, known
	}
	for name, other := range m.learnt {
		if strings.HasPrefix(name, dev.Name) && other.Bytes >= l.Bytes {
			l, known = other, true
		}
	}
	return l, known
}

// needs is what a replica takes on the device, and whose word that is.
func (m memory) needs(dev *wire.DeviceLoad) (uint64, wire.MemorySource) {
	if m.stated {
		return m.estimate, wire.MemorySource_MEMORY_SOURCE_STATED
	}
	if l, known := m.on(dev); known && (l.Agreed || l.Bytes > m.estimate) {
		return l.need(m.estimate), wire.MemorySource_MEMORY_SOURCE_LEARNT
	}
	return m.estimate, wire.MemorySource_MEMORY_SOURCE_ESTIMATED
}

// need is what a replica takes on the device.
func (m *memory) need(dev *device) uint64 {
	if m.stated || len(m.learnt) == 0 {
		return m.estimate
	}
	bytes, _ := m.needs(dev.load)
	return bytes
}

// least is the least that any device would have to give.
func (m memory) least() uint64 {
	out := m.estimate
	for _, l := range m.learnt {
		out = min(out, l.need(m.estimate))
	}
	return out
}
