package llamacpp

import (
	"testing"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
	"pgregory.net/rapid"
)

// A step's room is used up as long as there is something to read, nobody reads beyond the end, and whoever
// came first goes on.
func TestShareUsesTheRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readers := make([]*slot, rapid.IntRange(0, 6).Draw(t, "readers"))
		left, oldest := 0, 0
		for i := range readers {
			n := rapid.IntRange(1, 300).Draw(t, "left")
			readers[i] = &slot{used: uint64(10*rapid.IntRange(1, 50).Draw(t, "used") + i), work: &sequence{job: &job{input: input{prompt: make([]llama.Token, n)}}}}
			if left += n; readers[i].used < readers[oldest].used {
				oldest = i
			}
		}
		room := rapid.IntRange(1, 900).Draw(t, "room")
		total := 0
		parts := share(room, readers)
		for i, n := range parts {
			if total += n; n < 0 || n > len(readers[i].work.prompt) {
				t.Fatalf("%d of %d tokens", n, len(readers[i].work.prompt))
			}
		}
		if total != min(room, left) {
			t.Fatalf("%d tokens are read, the room is %d, left are %d", total, room, left)
		}
		if len(readers) > 0 && parts[oldest] == 0 {
			t.Fatal("the first to come gets nothing")
		}
	})
}

func TestShortPromptsDoNotWaitForLongOnes(t *testing.T) {
	reader := func(tokens int, used uint64) *slot {
		return &slot{used: used, work: &sequence{job: &job{input: input{prompt: make([]llama.Token, tokens)}}}}
	}
	if parts := share(256, []*slot{reader(5000, 1), reader(20, 2), reader(100, 3)}); parts[1] != 20 || parts[2] != 100 || parts[0] != 136 {
		t.Errorf("%v", parts)
	}
}

// Steps are as long as they may be, at any speed.
func TestRoomFollowsTheSpeed(t *testing.T) {
	g := &generator{capacity: 2048, slots: make([]*slot, 4)}
	for _, c := range []struct {
		speed  float64
		chosen int
		want   int
	}{{0, 0, firstStep}, {1000, 0, 500}, {1000, 2, 100}, {20, 2, minStep}, {1e6, 0, 2048}, {1e6, 3, 2045}} {
		g.rates.prefill = c.speed
		if got := g.room(c.chosen); got != c.want {
			t.Errorf("at %g tokens/s, %d chosen: %d, want %d", c.speed, c.chosen, got, c.want)
		}
	}
}

func TestRatesOfMixedSteps(t *testing.T) {
	var r rates
	r.add(100, 0, 100*time.Millisecond)
	r.add(0, 5, 50*time.Millisecond)
	if r.prefill != 1000 || r.decode != 100 {
		t.Fatalf("%+v", r)
	}
	r.add(200, 5, 150*time.Millisecond) // 50 ms of it for the 5
	if r.prefill < 1090 || r.prefill > 1110 || r.decode != 100 {
		t.Errorf("%+v", r)
	}
}
