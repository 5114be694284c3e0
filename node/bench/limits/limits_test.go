package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestLimitsHold is the benchmark in short: what is asked of a loaded machine is that
// nothing is admitted beyond what the largest lease allows, and that most is.
func TestLimitsHold(t *testing.T) {
	var out strings.Builder
	for u, o := range run(&out, settings{gateways: 9, workers: 3, steady: time.Second, kills: 1, between: 2 * time.Second, notice: time.Second, asked: 2}) {
		if o.over > math.Max(o.lease, 1) {
			t.Errorf("%d: over by %v, with leases of %v\n%s", u, o.over, o.lease, out.String())
		}
		if o.off > 0.05 || o.off < -0.5 {
			t.Errorf("%d: %v off\n%s", u, o.off, out.String())
		}
	}
}

func TestFigure(t *testing.T) {
	if got := figure("a", 2, "%", 1); got != "figure: a 2.000 % goal <= 1 (missed)" {
		t.Error(got)
	}
}
