package main

import (
	"io"
	"testing"
	"time"
)

// TestGoals is the benchmark with few requests, so that each goal has some slack: what
// breaks routing misses them by far.
func TestGoals(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, which runs the short tests")
	}
	const slack = 1.15
	for _, g := range goals {
		s := settings{gpus: 12, requests: 6000, seeds: 1, seed: 1}
		g.set(&s)
		bound, _ := run(s, clairvoyant)
		got, c := run(s, production)
		if got > bound*g.most*slack {
			t.Errorf("%s: p99 of %.3f s is %.2fx that of one queue, %.3f s; %+v", g.name, got, got/bound, bound, c)
		}
		if n := s.requests; c.rejects > 2*n || c.control > 12*n {
			t.Errorf("%s: for %d requests, %+v", g.name, n, c)
		}
	}
}

// TestOthersAreWorse: the simulation tells good routing from bad.
func TestOthersAreWorse(t *testing.T) {
	s := settings{gpus: 12, requests: 6000, seeds: 1, seed: 1}
	at(3, near, time.Second, 0.9, poisson)(&s)
	ours, _ := run(s, production)
	for name, choose := range map[string]chooser{"round robin": roundRobin, "power of two": powerOfTwo, "least request": leastRequest} {
		if other, _ := run(s, atOnce(choose)); other < 1.5*ours {
			t.Errorf("%s: %.3f s, and %.3f s by late binding", name, other, ours)
		}
	}
}

// TestRunsAreTheSame: what a run prints follows from its flags alone.
func TestRunsAreTheSame(t *testing.T) {
	s := settings{gpus: 6, requests: 1000, seeds: 2, seed: 7}
	at(2, near, time.Second, 0.9, bursty)(&s)
	one, first := run(s, production)
	if two, second := run(s, production); one != two || first != second {
		t.Errorf("%v and %v, %+v and %+v", one, two, first, second)
	}
	compare(io.Discard, s)
}

func TestTracesOfferTheLoad(t *testing.T) {
	for _, kind := range []string{poisson, bursty, conversation} {
		const speed, n = 56_000, 40_000
		trace, tokens := traceOf(kind, n, 3, 0.8, speed, 1), 0
		from, to := trace[n/4].at, trace[n/2].at // conversations begin and end by and by
		for i, r := range trace {
			if r.at > from && r.at <= to {
				tokens += r.prompt
			}
			if i > 0 && r.at < trace[i-1].at {
				t.Fatalf("%s: request %d comes before the one before it", kind, i)
			}
		}
		if load := float64(tokens) / (to - from).Seconds() / speed; load < 0.74 || load > 0.86 {
			t.Errorf("%s offers %.3f", kind, load)
		}
	}
}
