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
