package infer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// shared is an answer whose slot was shared.
type shared struct {
	*answer
	held time.Duration
}

func (s *shared) Held() (time.Duration, bool) { return s.held, true }

// TestHeldTravels: for how long a slot was held is told to gateways elsewhere, none at all included.
func TestHeldTravels(t *testing.T) {
	for _, want := range []time.Duration{0, 3 * time.Millisecond} {
		g := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
			return &shared{whole(strings.NewReader("x")), want}, nil
		}), Config{})
		s := g.must(t.Context(), "{}")
		if held, told := s.(spec.Timed).Held(); !told || held != want {
			t.Errorf("%v, %t, want %v", held, told, want)
		}
	}
}

// veiled is an answer that hides what was cached.
type veiled struct{ *answer }

func (veiled) Hides() bool { return true }

// TestHidesTravels: that what was cached is hidden is told to gateways elsewhere.
func TestHidesTravels(t *testing.T) {
	for _, want := range []bool{false, true} {
		g := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
			if want {
				return veiled{whole(strings.NewReader("x"))}, nil
			}
			return whole(strings.NewReader("x")), nil
		}), Config{})
		if s := g.must(t.Context(), "{}"); s.(spec.Hiding).Hides() != want {
			t.Errorf("hidden: %t", !want)
		}
	}
}
