package quotas

import (
	"hash/fnv"
	"slices"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Slots is how many there are.
const Slots = 256

// SlotOf is the slot that the limit hashes to.
func SlotOf(limit string) uint8 { return uint8(mixed("", limit) >> 56) }

// A ring tells who owns each slot, and who is next.
type ring struct {
	workers []spec.NodeID // sorted
	owners  [Slots][2]spec.NodeID
}

func newRing(workers []spec.NodeID) *ring {
	r := &ring{workers: workers}
	for slot := range r.owners {
		r.owners[slot] = highest(workers, string([]byte{byte(slot)}))
	}
	return r
}

// highest are the two workers that hash highest with the text; empty: there is none.
func highest(workers []spec.NodeID, text string) (best [2]spec.NodeID) {
	var most [2]uint64
	for _, w := range workers {
		switch weight := mixed(w, text); {
		case best[0] == "" || weight > most[0]:
			best, most = [2]spec.NodeID{w, best[0]}, [2]uint64{weight, most[0]}
		case best[1] == "" || weight > most[1]:
			best[1], most[1] = w, weight
		}
	}
	return best
}

// mixed is the hash that a node and a text have together.
func mixed(id spec.NodeID, text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(text))
	x := h.Sum64() // FNV mixes its last bytes poorly into the high bits
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// view is the ring of the workers that are alive; it is made anew only when they change.
type view struct{ now atomic.Pointer[ring] }

// of returns the ring, the same as before where the workers are the same.
func (v *view) of(workers []spec.NodeID) *ring {
	slices.Sort(workers)
	if r := v.now.Load(); r != nil && slices.Equal(r.workers, workers) {
		return r
	}
	r := newRing(workers)
	v.now.Store(r)
	return r
}
