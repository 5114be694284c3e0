package gate

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestPace(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name string
		took func(tokens int) float64
		want float64
	}{
		{"one prompt after the other", func(n int) float64 { return float64(n) / 2000 }, 2000},
		{"with something before each", func(n int) float64 { return 0.3 + float64(n)/2000 }, 2000},
		{"with noise", func(n int) float64 { return 0.3 + float64(n)/2000*(0.8+0.4*random.Float64()) }, 2000},
		{"all at the same time", func(int) float64 { return 0.2 + 0.05*random.Float64() }, 0},
		{"for other reasons", func(n int) float64 { return 3*random.ExpFloat64() + float64(n)/20_000 }, 0},
	} {
		p := Pace{}
		for range 400 {
			n := 100 + random.IntN(3000)
			p.Learn(n, c.took(n))
		}
		if got := p.TPS(); math.Abs(got-c.want) > 0.15*c.want {
			t.Errorf("%s: %v tokens per second, want %v", c.name, got, c.want)
		}
	}
	p := Pace{}
	for range 100 {
		p.Learn(500, 0.25+0.001*random.Float64()) // prompts alike tell nothing
		p.Learn(0, 1)
		p.Learn(7, math.NaN())
		p.Learn(7, math.Inf(1))
	}
	if got := p.TPS(); got != 0 {
		t.Errorf("%v tokens per second by prompts that are all alike", got)
	}
}

// TestPaceFollows a device that has become slower.
func TestPaceFollows(t *testing.T) {
	p, random := Pace{}, rand.New(rand.NewPCG(2, 2))
	for i := range 600 {
		speed := 8000.0
		if i >= 300 {
			speed = 1600
		}
		n := 100 + random.IntN(3000)
		p.Learn(n, float64(n)/speed)
	}
	if got := p.TPS(); got < 1500 || got > 1700 {
		t.Errorf("%v tokens per second", got)
	}
}
