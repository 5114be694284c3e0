package memory

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	keptLoads   = 8                   // of a kind, the newest
	forgetAfter = 30 * 24 * time.Hour // a load is old news then
	ripeAfter   = time.Minute         // an engine has shown by then what it takes
	agreeing    = 3                   // loads have to agree before less is reserved than was estimated, or more than a raise allows
	raise       = 2                   // times an estimate is the most that is reserved by the word of fewer
	outliers    = 5                   // of so many loads, the one that took the most does not count
)

// A load is one engine's life, as far as its memory is concerned.
type load struct {
	ID    string `json:"id"`
	Bytes uint64 `json:"bytes"` // see Note and Steady
	From  int64  `json:"from"`  // Unix seconds of the first measurement
	To    int64  `json:"to"`    // and of the last
}

func (l load) ripe() bool { return l.To-l.From >= int64(ripeAfter/time.Second) }

// A Figure is what to reserve for an instance of a kind.
type Figure struct {
	Bytes  uint64 // 0: nothing is known
	Loads  int    // that it is made from
	Agreed bool   // it may be less than an estimate, or far more
}

// figure is made from loads that are not too old. One outlier among many does not
// count. Where enough that have run for a while agree, a tenth is head-room enough;
// else the figure is there to reserve more than an estimate, not less, and no more than
// Reserve allows: what has not run for a while yet is not among those that agree.
func figure(loads []load, now time.Time) Figure {
	var all, ripe []uint64
	for _, l := range loads {
		if now.Unix()-l.To > int64(forgetAfter/time.Second) {
			continue
		}
		all = append(all, l.Bytes)
		if l.ripe() {
			ripe = append(ripe, l.Bytes)
		}
	}
	if len(all) == 0 {
		return Figure{}
	}
	f := Figure{Loads: len(all)}
	ripe = trimmed(ripe)
	f.Agreed = len(ripe) >= agreeing && ripe[len(ripe)-1] <= ripe[0]+ripe[0]/4
	if f.Agreed {
		f.Bytes = ripe[len(ripe)-1] + ripe[len(ripe)-1]/10
	} else {
		most := highest(all)
		f.Bytes = most + most/50
	}
	return f
}

// trimmed sorts, and leaves out the greatest of many.
func trimmed(bytes []uint64) []uint64 {
	slices.Sort(bytes)
	if len(bytes) >= outliers {
		bytes = bytes[:len(bytes)-1]
	}
	return bytes
}

func highest(bytes []uint64) uint64 {
	bytes = trimmed(bytes)
	return bytes[len(bytes)-1]
}

// Reserve is what to reserve for an instance on the device where its placement
// says bytes from there: an operator's word is kept; of an estimate no more than half is
// taken off; else it may only be more. What loads have not agreed upon raises it to
// twice that at most: one strange load is to crowd out nobody. The leader's figure has
// such a raise in it already.
func (f Figure) Reserve(bytes uint64, from wire.MemorySource) uint64 {
	switch {
	case bytes == 0 || from == wire.MemorySource_MEMORY_SOURCE_STATED:
		return bytes
	case from == wire.MemorySource_MEMORY_SOURCE_ESTIMATED && f.Agreed:
		return max(f.Bytes, bytes/2)
	case f.Agreed:
		return max(f.Bytes, bytes)
	case from == wire.MemorySource_MEMORY_SOURCE_LEARNT || bytes > lastUpTo:
		return bytes
	}
	return max(min(f.Bytes, raise*bytes), bytes)
}
