package node

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// observed is what this node has last heard of every device, from digests. It
// feeds the reconciler and the status; the gateway keeps a table of its own.
type observed struct {
	mu struct {
		sync.Mutex
		nodes map[spec.NodeID]*observedNode
	}
	now func() time.Time
}

type observedNode struct {
	boot    uint64
	devices map[string]observedDevice
}

type observedDevice struct {
	load *wire.DeviceLoad // never changed after it is stored
	at   time.Time
}

func newObserved(now func() time.Time) *observed {
	o := &observed{now: now}
	o.mu.nodes = map[spec.NodeID]*observedNode{}
	return o
}

// observe takes in a digest. One of an earlier boot, or older than what is known
// of the device, is dropped: datagrams overtake each other.
func (o *observed) observe(d *wire.LoadDigest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.mu.nodes[spec.NodeID(d.Node)]
	if n == nil || n.boot < d.Boot {
		n = &observedNode{boot: d.Boot, devices: map[string]observedDevice{}}
		o.mu.nodes[spec.NodeID(d.Node)] = n
	}
	if n.boot > d.Boot {
		return
	}
	for _, load := range d.Devices {
		if known, ok := n.devices[load.Device]; ok && known.load.Seq >= load.Seq {
			continue
		}
		n.devices[load.Device] = observedDevice{load: load, at: o.now()}
	}
}

// forget drops what is known of a node that has died or left.
func (o *observed) forget(id spec.NodeID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.mu.nodes, id)
}

// A deviceReport is one device as this node knows it.
type deviceReport struct {
	Node spec.NodeID
	Load *wire.DeviceLoad
	At   time.Time
}

// devices lists every known device, ordered by node and device.
func (o *observed) devices() []deviceReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []deviceReport
	for _, id := range slices.Sorted(maps.Keys(o.mu.nodes)) {
		n := o.mu.nodes[id]
		for _, device := range slices.Sorted(maps.Keys(n.devices)) {
			out = append(out, deviceReport{Node: id, Load: n.devices[device].load, At: n.devices[device].at})
		}
	}
	return out
}
