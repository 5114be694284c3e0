package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Go's own percentage collects a heap of some megabytes many times a second under
// load, for memory that nobody misses; a large heap must not be let grow to five times
// itself. One that is larger still, which is mostly bodies and answers without a pointer
// in them, costs little to look through and much to keep twice.
const (
	smallHeap      = 64 << 20 // bytes that are live
	smallHeapGrows = 400      // percent
	largeHeapGrows = 100
	mostGrowth     = 192 << 20 // bytes
	leastGrows     = 25        // percent
)

// What a burst has left of a heap is given back to the system once the node has been quiet for a while: the collector
// itself keeps what it may grow by again, and comes for the rest by and by.
const (
	quietFor   = 5 * time.Second
	leastSpare = 16 << 20 // bytes that are worth a collection, and so is an eighth of what is live
	seldom     = 16       // quiet is who takes less than one part in so many of the spare bytes in quietFor
)

// A heap is what a process has of one.
type heap struct {
	live      uint64 // bytes, as of the last collection
	spare     uint64 // bytes that are not live, and may be had back of the system
	allocated uint64 // bytes ever
}

func (h heap) wasteful(before heap) bool {
	return h.spare >= max(leastSpare, h.live/8) && (h.allocated-before.allocated)*seldom < h.spare
}

// readHeap asks the runtime, which stops nothing for it.
func readHeap() heap {
	m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(m)
	h := heap{live: m[0].Value.Uint64(), allocated: m[3].Value.Uint64()}
	h.spare = m[1].Value.Uint64() + m[2].Value.Uint64()
	h.spare -= min(h.spare, h.live)
	return h
}

// heapMayGrow is how far a heap of so many live bytes may grow before it is
// collected, in percent of itself.
func heapMayGrow(live uint64) int {
	if live < smallHeap {
		return smallHeapGrows
	}
	return int(max(leastGrows, min(largeHeapGrows, mostGrowth*100/live)))
}

// collect keeps the collector's percentage to what the heap is, and gives memory back that nobody has used for a while, until ctx
// ends. Who sets GOGC has the last word.
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := heapMayGrow(0)
	debug.SetGCPercent(set)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, looked := readHeap(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readHeap()
		if time.Since(looked) >= quietFor {
			if now.wasteful(before) {
				debug.FreeOSMemory()
				now = readHeap()
			}
			before, looked = now, time.Now()
		}
		if want := heapMayGrow(now.live); want != set {
			set = want
			debug.SetGCPercent(set)
		}
	}
}
