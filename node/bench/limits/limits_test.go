package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestLimitsHold is the benchmark in short. A window so short, on a loaded machine, has
// part of a lease more or less in it: what is asked is that no more than a lease, or a
// second of the limit, is ever admitted beyond it, and that most of it is.
func TestLimitsHold(t *testing.T) {
	var out strings.Builder
	for u, o := range run(&out, settings{gateways: 9, workers: 3, steady: 2 * time.Second, kills: 1, between: 2 * time.Second, notice: time.Second, asked: 2}) {
		if o.over > math.Max(o.lease, []float64{200, 50_000}[u]) {
			t.Errorf("%d: over by %v, with leases of %v\n%s", u, o.over, o.lease, out.String())
		}
		if o.off > 0.25 || o.off < -0.5 {
			t.Errorf("%d: %v off\n%s", u, o.off, out.String())
		}
	}
}

func TestFigure(t *testing.T) {
	if got := figure("a", 2, "%", 1); got != "figure: a 2.000 % goal <= 1 (missed)" {
		t.Error(got)
	}
}
