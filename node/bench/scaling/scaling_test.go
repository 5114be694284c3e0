package main

import (
	"strings"
	"testing"
	"time"
)

// TestReplicasFollowABurst: the production code serves a burst better than a plain rule, with
// far fewer replicas than the most, and runs the same every time.
func TestReplicasFollowABurst(t *testing.T) {
	tr := traces()[0]
	tr.lasts = 90 * time.Minute
	ours, rule := simulate(tr, 30*time.Second, 1, production), simulate(tr, 30*time.Second, 1, threshold)
	t.Logf("LotaBots %+v, threshold rule %+v", ours, rule)
	if ours.missed >= rule.missed*0.7 || ours.replicas > 0.8*most || ours.changes == 0 {
		t.Errorf("LotaBots %+v, threshold rule %+v", ours, rule)
	}
	if again := simulate(tr, 30*time.Second, 1, production); again != ours {
		t.Errorf("another run: %+v", again)
	}
	if known := simulate(tr, 30*time.Second, 1, clairvoyant); known.missed > 1 || known.replicas > ours.replicas {
		t.Errorf("who knows the future: %+v", known)
	}
}

// TestNobodyFlaps: under a constant rate, whatever it is, there are a few changes an hour,
// and hardly a second is below the target once the first replicas are there.
func TestNobodyFlaps(t *testing.T) {
	for i, rate := range []float64{0.1, 0.4, 1, 2.5, 5} {
		load := time.Duration(10+10*i) * time.Second
		tr := trace{"constant", 3 * time.Hour, func(float64) float64 { return rate }}
		if r := simulate(tr, load, uint64(i), production); r.changes > 40 || r.missed > 120 {
			t.Errorf("%.2f requests a second: %+v", rate, r)
		}
	}
}

func TestFigure(t *testing.T) {
	if got := figure("a", 2, "x", 1); got != "figure: a 2.000 x goal <= 1 (missed)" {
		t.Error(got)
	}
	if got := figure("a", 1, "x", 1); strings.Contains(got, "missed") {
		t.Error(got)
	}
}
