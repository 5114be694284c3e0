package actors

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// maxDatagram is the size of a digest: a larger datagram is torn up on its way.
const maxDatagram = 1200

// noteSize is what the hash of the node's note takes of it, which who sends the digest adds.
const noteSize = 9

// A herald tells the digests of the node's devices, in one goroutine. Of each
// device, what is newest when its turn comes.
type herald struct {
	node spec.NodeID
	boot uint64
	tell func(*wire.LoadDigest)
	beat func() // asks every device for a digest
	wake chan struct{}

	mu      sync.Mutex
	pending map[string]*wire.DeviceLoad
	news    []*wire.LoadDigest // of another kind, in order
}

func newHerald(c *Config) *herald {
	return &herald{node: c.Node, boot: c.Boot, tell: c.Digest, wake: make(chan struct{}, 1), pending: map[string]*wire.DeviceLoad{}}
}

// put takes a device's digest. It does not block.
func (h *herald) put(d *wire.DeviceLoad) {
	h.mu.Lock()
	h.pending[d.GetDevice()] = d
	h.mu.Unlock()
	h.rouse()
}

// say takes a digest that is sent as it is. It does not block.
func (h *herald) say(d *wire.LoadDigest) {
	h.mu.Lock()
	h.news = append(h.news, d)
	h.mu.Unlock()
	h.rouse()
}

func (h *herald) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run tells digests until ctx ends.
func (h *herald) run(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.beat()
		case <-h.wake:
			devices, news := h.take()
			for _, d := range append(split(h.node, h.boot, devices), news...) {
				h.tell(d)
			}
		}
	}
}

func (h *herald) take() (devices []*wire.DeviceLoad, news []*wire.LoadDigest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	news, h.news = h.news, nil
	out := make([]*wire.DeviceLoad, 0, len(h.pending))
	for id, d := range h.pending {
		out = append(out, gpu.Parts(d)...)
		delete(h.pending, id)
	}
	slices.SortStableFunc(out, func(a, b *wire.DeviceLoad) int { return cmp.Compare(a.Device, b.Device) })
	return out, news
}

// split packs devices into as few digests as have room for them, in order. A
// device that fits into one is never torn; the parts of one that does not say so.
func split(node spec.NodeID, boot uint64, devices []*wire.DeviceLoad) []*wire.LoadDigest {
	var out []*wire.LoadDigest
	var size int
	for _, d := range devices {
		one := proto.Size(&wire.LoadDigest{Devices: []*wire.DeviceLoad{d}})
		if len(out) == 0 || size+one > maxDatagram {
			next := &wire.LoadDigest{Node: string(node), Boot: boot}
			out, size = append(out, next), proto.Size(next)+noteSize
		}
		last := out[len(out)-1]
		last.Devices = append(last.Devices, d)
		size += one
	}
	return out
}
