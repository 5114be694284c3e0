package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestLargeHeapsAreCollectedSooner: the percentage follows what is live.
func TestLargeHeapsAreCollectedSooner(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); collect(ctx) }()
	held := make([]byte, 2*smallHeap)
	for i := range held {
		held[i] = 1
	}
	debug.FreeOSMemory() // a collection, which tells what is live
	awaitPercent(t, largeHeapGrows)
	runtime.KeepAlive(held)
	debug.FreeOSMemory()
	awaitPercent(t, smallHeapGrows)
	cancel()
	<-ended
}

// TestLargeHeapsGrowLess: what a heap may come to is bounded beyond what is live.
func TestLargeHeapsGrowLess(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, smallHeap - 1: 400, smallHeap: 100, 192 << 20: 100, 384 << 20: 50, 768 << 20: 25, 8 << 30: 25} {
		if got := heapMayGrow(live); got != want {
			t.Errorf("%d MiB: %d %%, want %d", live>>20, got, want)
		}
	}
}

// TestQuietHeapsGiveBack: memory goes back once little of what there is too much of is asked for.
func TestQuietHeapsGiveBack(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, spare, allocated uint64
		want                   bool
	}{
		{10 * mb, 100 * mb, 0, true}, {10 * mb, 100 * mb, 6 * mb, true}, {10 * mb, 100 * mb, 7 * mb, false}, // a node at work
		{10 * mb, 15 * mb, 0, false}, {400 * mb, 49 * mb, 0, false}, {400 * mb, 50 * mb, 0, true},
	} {
		before := heap{allocated: 1 << 40}
		if got := (heap{c.live, c.spare, before.allocated + c.allocated}).wasteful(before); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestBurstsLeaveNothing: what was allocated in a burst is the system's again.
func TestBurstsLeaveNothing(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); collect(ctx) }()
	burst := make([][]byte, 256)
	for i := range burst {
		burst[i] = make([]byte, 1<<20)
	}
	runtime.KeepAlive(burst)
	clear(burst)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if h := readHeap(); h.spare < 64<<20 { // of the burst's 256 MiB; what other tests have left running allocates too
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d MiB are kept that nobody uses", h.spare>>20)
		}
	}
	cancel()
	<-ended
}

func awaitPercent(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got := debug.SetGCPercent(-1)
		debug.SetGCPercent(got)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the heap may grow by %d %%, want %d", got, want)
		}
	}
}
