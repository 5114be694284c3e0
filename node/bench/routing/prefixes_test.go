package main

import "testing"

// TestHits: with announcements eight gateways find nearly as much as one, and more than by guesses, and by these more
// than by chance.
func TestHits(t *testing.T) {
	s := settings{gpus: 12, requests: 6000, seeds: 1, seed: 1}
	one, _ := hits(s, announced, 1)
	eight, soon := hits(s, announced, 8)
	some, _ := hits(s, guessed, 8)
	chance, late := hits(s, unknown, 8)
	t.Logf("%.3f with one gateway, %.3f with 8; %.3f guessed, %.3f by chance; p99 %.3f and %.3f s", one, eight, some, chance, soon, late)
	if eight < (leastHits-0.03)*one || some > eight || chance > 0.8*some || soon > late {
		t.Errorf("%.3f with one gateway, %.3f with 8; %.3f guessed, %.3f by chance; p99 %.3f and %.3f s", one, eight, some, chance, soon, late)
	}
}

func TestCacheTellsWhatItHolds(t *testing.T) {
	c, known := newCache(), map[uint64]bool{}
	for i := range 400 {
		k := &talk{id: uint64(i%150 + 1), prompts: []int{500, 1000, 1500}}
		c.keep(&request{talk: k, turn: i % 3})
		if i%7 != 0 {
			continue
		}
		n := c.tell("i")
		for _, name := range n.Removed {
			delete(known, name)
		}
		for _, name := range n.Added {
			known[name] = true
		}
		names := 0
		for _, e := range c.talks {
			h := e.Value.(*held)
			for turn := range h.turn + 1 {
				if names++; !known[h.talk.name(turn)] {
					t.Fatalf("turn %d of %d is held and was not told", turn, h.talk.id)
				}
			}
		}
		if names != len(known) || c.tokens > cacheTokens {
			t.Fatalf("%d names are held, %d known; %d tokens", names, len(known), c.tokens)
		}
	}
}
