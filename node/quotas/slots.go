package quotas

import (
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

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
	from    [Slots]time.Time // when this node may grant of a slot that it has got from one who lives
	next    [Slots]time.Time // since when this node is the next owner
	lost    [Slots]time.Time // when this node got a slot of which it may not know all
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
type view struct {
	self spec.NodeID
	now  atomic.Pointer[ring]
}

// of returns the ring, the same as before where the workers are the same.
func (v *view) of(workers []spec.NodeID) *ring {
	slices.Sort(workers)
	before := v.now.Load()
	if before != nil && slices.Equal(before.workers, workers) {
		return before
	}
	r := newRing(workers)
	r.takeOver(before, v.self, time.Now())
	v.now.Store(r)
	return r
}

// takeOver sets when self may grant of what it did not own before: at once where the
// owner before has died, for self was the next then and knows, if it was for long
// enough; else when that one has had the time to tell.
func (r *ring) takeOver(before *ring, self spec.NodeID, now time.Time) {
	for slot, of := range r.owners {
		if of[1] == self {
			switch r.next[slot] = now; {
			case before == nil:
			case before.owners[slot][1] == self:
				r.next[slot] = before.next[slot]
			case before.owners[slot][0] == self && !now.Before(before.from[slot]):
				r.next[slot] = time.Time{} // it knows what it has granted itself, and is told what comes
			}
		}
		switch {
		case of[0] != self:
		case before == nil:
			if of[1] != "" { // it has come anew
				r.from[slot] = now.Add(handOver)
			}
		case before.owners[slot][0] == self:
			r.from[slot], r.lost[slot] = before.from[slot], before.lost[slot]
		case slices.Contains(r.workers, before.owners[slot][0]):
			r.from[slot] = now.Add(handOver)
		case before.owners[slot][1] != self || now.Sub(before.next[slot]) < initiated:
			r.lost[slot] = now
		}
	}
}

// initiated is how long a node must have been the next owner to know what the owner
// does: as the one before it may have died before it saw that it is the owner, so long
// as a death may go unseen, and the time to tell.
const initiated = 10 * time.Second

// handOver is how long who takes over from a living owner waits for what that one knows:
// until the other has seen it, and told.
const handOver = 700 * time.Millisecond
