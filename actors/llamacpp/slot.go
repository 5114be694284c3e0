package llamacpp

import (
	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
)

const (
	// minCopy is the beginning, in tokens, from which on copying it from another slot is worth its while:
	// llama.cpp copies the whole share of a slot.
	minCopy = 64
	// minWait is how much of a prompt another request must be about to read for this one to wait for it.
	minWait = 64
)

// A slot is one sequence's share of the context. What it has read stays there after its request has
// gone, until another request takes the slot. The generator's goroutine owns it.
type slot struct {
	id    llama.SeqId
	work  *sequence // nil: idle
	held  []llama.Token
	salt  string
	marks []prefix.Mark // announced, by rising count of tokens, all within held
	used  uint64        // the turn at which it was last given a request; 0: never
}

// A place is where a prompt goes, and what of it is there already.
type place struct {
	slot *slot
	from *slot // whose beginning is copied; nil: the slot's own
	keep int   // tokens
}

// choose finds the best idle slot for a prompt: the one that holds most of it, but where that would
// cut off more than it keeps, another, with the beginning copied. whole: this kind of model cannot
// forget a part of a sequence. wait: another request is about to read much of this prompt, so the
// copy will be cheaper than reading it twice. A zero place: no slot is idle.
func choose(slots []*slot, prompt []llama.Token, salt string, whole bool) (p place, wait bool) {
	var best *slot
	most, coming := 0, 0
	lengths := make([]int, len(slots))
	for i, s := range slots {
		n := s.common(prompt, salt)
		if whole && n < len(s.held) {
			n = 0
		}
		if lengths[i] = n; n > most {
			best, most = s, n
		}
		if s.work != nil && s.work.reading() && s.salt == salt {
			coming = max(coming, common(s.work.prompt, prompt))
		}
	}
	for i, s := range slots {
		if s.work == nil && (p.slot == nil || better(s, lengths[i], p.slot, p.keep)) {
			p = place{slot: s, keep: lengths[i]}
		}
	}
	if p.slot == nil {
		return p, false
	}
	if !whole && coming >= most+minWait && len(slots) > 1 {
		return p, true
	}
	if whole || best == nil || most < minCopy {
		return p, false
	}
	if spare := oldest(slots, best); best == p.slot && most < len(best.held)/2 && spare != nil {
		return place{slot: spare, from: best, keep: most}, false
	}
	if most >= p.keep+minCopy {
		return place{slot: oldest(slots, best), from: best, keep: most}, false
	}
	return p, false
}

// better prefers what holds more of the prompt, then what was used longest ago.
func better(s *slot, keep int, than *slot, thanKeep int) bool {
	if keep != thanKeep {
		return keep > thanKeep
	}
	return s.used < than.used
}

// oldest is the idle slot, other than one, that was used longest ago.
func oldest(slots []*slot, but *slot) (found *slot) {
	for _, s := range slots {
		if s != but && s.work == nil && (found == nil || s.used < found.used) {
			found = s
		}
	}
	return found
}

// common is how many tokens of the prompt the slot holds. The last one is always read anew: what
// follows it is not kept.
func (s *slot) common(prompt []llama.Token, salt string) int {
	if s.salt != salt {
		return 0
	}
	return common(s.held, prompt[:len(prompt)-1])
}

func common(a, b []llama.Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// cut forgets all but the first keep tokens, and says which marks went with them.
func (s *slot) cut(keep int) (gone []prefix.Mark) {
	s.held = s.held[:keep]
	n := len(s.marks)
	for n > 0 && s.marks[n-1].Tokens > keep {
		n--
	}
	s.marks, gone = s.marks[:n:n], s.marks[n:]
	return gone
}
