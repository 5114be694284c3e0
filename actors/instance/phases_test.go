package instance

import (
	"log/slog"
	"slices"
	"testing"
)

// What is told of a phase only grows, in whole percents, and is of the phase that lasts.
func TestAPhaseTellsHowFarItIs(t *testing.T) {
	var told []progressed
	r := &run{attempt: 3, cfg: Config{Log: slog.New(slog.DiscardHandler)}, post: func(m any) { told = append(told, *m.(*progressed)) }}
	p := &phases{run: r}
	p.enter(PhaseFetch)
	for _, part := range []float64{-1, 0, 0.004, 0.2, 0.209, 0.1, 2} {
		p.part(PhaseFetch, part)
	}
	p.part(PhaseLoad, 0.5)
	p.enter(PhaseLoad)
	p.part(PhaseFetch, 0.7)
	p.part(PhaseLoad, 0.5)
	p.enter("")
	p.part(PhaseLoad, 0.9)
	want := []progressed{{3, PhaseFetch, 0}, {3, PhaseFetch, 20}, {3, PhaseFetch, 100}, {3, PhaseLoad, 0}, {3, PhaseLoad, 50}}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
