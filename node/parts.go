package node

import (
	"slices"
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// mostParts bounds what one device's digest may come in.
const mostParts = 64

// joints put together what devices tell in several datagrams: only a digest of which
// every part has come is news. One of which a part is lost is followed by the next
// within a second.
type joints struct {
	mu struct {
		sync.Mutex
		nodes map[spec.NodeID]map[string]*joint
	}
}

// A joint is the newest digest of a device, as far as it has come.
type joint struct {
	boot, seq uint64
	parts     []*wire.DeviceLoad // by number; nil: not yet
}

func newJoints() *joints {
	j := &joints{}
	j.mu.nodes = map[spec.NodeID]map[string]*joint{}
	return j
}

// whole returns d with the devices alone that are whole, or are by what d brings.
func (j *joints) whole(d *wire.LoadDigest) *wire.LoadDigest {
	if !slices.ContainsFunc(d.Devices, func(l *wire.DeviceLoad) bool { return l.GetParts() > 0 }) {
		return d
	}
	out := &wire.LoadDigest{Node: d.Node, Boot: d.Boot, Note: d.Note}
	for _, l := range d.Devices {
		if l.GetParts() > 0 {
			l = j.join(spec.NodeID(d.Node), d.Boot, l)
		}
		if l != nil {
			out.Devices = append(out.Devices, l)
		}
	}
	return out
}

// join takes in a part; nil: others are missing, or it is old.
func (j *joints) join(node spec.NodeID, boot uint64, l *wire.DeviceLoad) *wire.DeviceLoad {
	if l.Parts > mostParts || l.Part == 0 || l.Part > l.Parts {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.nodes[node] == nil {
		j.mu.nodes[node] = map[string]*joint{}
	}
	at := j.mu.nodes[node][l.Device]
	switch {
	case at == nil, at.boot < boot, at.boot == boot && at.seq < l.Seq:
		at = &joint{boot: boot, seq: l.Seq, parts: make([]*wire.DeviceLoad, l.Parts)}
		j.mu.nodes[node][l.Device] = at
	case at.boot > boot || at.seq > l.Seq || len(at.parts) != int(l.Parts):
		return nil
	}
	at.parts[l.Part-1] = l
	if slices.Contains(at.parts, nil) {
		return nil
	}
	first := at.parts[0]
	out := &wire.DeviceLoad{Device: first.Device, Seq: first.Seq, Kind: first.Kind, Name: first.Name, MemoryTotal: first.MemoryTotal, MemoryFree: first.MemoryFree,
		Health: first.Health, Draining: first.Draining, Utilisation: first.Utilisation, Share: first.Share, Links: first.Links}
	for _, p := range at.parts {
		out.Instances = append(out.Instances, p.Instances...)
	}
	return out
}

func (j *joints) forget(node spec.NodeID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.mu.nodes, node)
}
