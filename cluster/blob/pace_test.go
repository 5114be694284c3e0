package blob

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPaceBoundsAllWhoShareIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Pace{}
		p.Set(1000)
		began := time.Now()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 5 {
					if err := p.Wait(t.Context(), 500); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took < 9*time.Second || took > 10*time.Second { // the first comes at once
			t.Errorf("10,000 bytes at 1,000 a second took %v", took)
		}
		p.Set(0)
		began = time.Now()
		if err := p.Wait(t.Context(), 1<<40); err != nil || time.Since(began) != 0 {
			t.Errorf("without a bound: %v, %v", err, time.Since(began))
		}
		p.Set(1)
		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := errors.Join(p.Wait(ended, 100), p.Wait(ended, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestTheRateOfAFetchIsBounded(t *testing.T) {
	m, raw := model("paced", 11)
	h := newHolders(t)
	h.add("n1", Handler(newMemory(raw), knows(m), nil))
	pace := &Pace{}
	pace.Set(20 * testChunk)
	f := NewFetcher(h, newMemory(), h.list, Options{Pace: pace})
	began := time.Now()
	if _, err := f.Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 450*time.Millisecond { // the first of 11 chunks comes at once, the last is short
		t.Errorf("%d bytes took %v", len(raw), took)
	}
}
