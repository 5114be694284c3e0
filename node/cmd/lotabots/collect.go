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

// heapMayGrow is how far a heap of so many live bytes may grow before it is
// collected, in percent of itself.
func heapMayGrow(live uint64) int {
	if live < smallHeap {
		return smallHeapGrows
	}
	return int(max(leastGrows, min(largeHeapGrows, mostGrowth*100/live)))
}

// collect keeps the collector's percentage to what the heap is, until ctx ends. Who
// sets GOGC has the last word.
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := heapMayGrow(0)
	debug.SetGCPercent(set)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(live)
		if want := heapMayGrow(live[0].Value.Uint64()); want != set {
			set = want
			debug.SetGCPercent(set)
		}
	}
}
