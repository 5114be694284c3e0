package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSluice: however many take, and whatever at a time, no more passes than the rate and what
// may pass at once; and as much does, where it is asked for.
func TestSluice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sluice{rate: 1000, burst: 50}
		s.mu.free = s.burst
		start := time.Now()
		clients := make([]time.Time, rapid.IntRange(1, 20).Draw(t, "clients")) // from when each may go on
		for i := range clients {
			clients[i] = start
		}
		piece := rapid.IntRange(1, 100).Draw(t, "piece")
		total, now := 0, start
		for range 2000 {
			next := 0
			for i, at := range clients {
				if at.Before(clients[next]) {
					next = i
				}
			}
			if clients[next].After(now) {
				now = clients[next]
			}
			if now.Sub(start) > 10*time.Second {
				break
			}
			total += piece
			clients[next] = now.Add(s.take(piece, now))
		}
		passed := now.Sub(start).Seconds()
		if most := s.burst + passed*s.rate + float64(len(clients)*piece) + 1; float64(total) > most && len(clients)*piece < 1000 {
			t.Fatalf("%d bytes passed in %.2f s, want %.0f at most", total, passed, most)
		}
		if least := passed*s.rate - float64(piece); float64(total) < least {
			t.Fatalf("%d bytes passed in %.2f s, want %.0f at least", total, passed, least)
		}
	})
}
