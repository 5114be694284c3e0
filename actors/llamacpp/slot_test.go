package llamacpp

import (
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
)

// Whatever the slots hold: a busy slot is never taken, nothing crosses a salt, what is kept is really
// common, and no other idle place in reach holds much more.
func TestChooseIsSafe(t *testing.T) {
	tokens := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) llama.Token { return llama.Token(rapid.IntRange(0, 1).Draw(t, "token")) }), 1, 300)
	long := rapid.Custom(func(t *rapid.T) []llama.Token {
		return append(make([]llama.Token, rapid.IntRange(0, 400).Draw(t, "zeros")), tokens.Draw(t, "end")...)
	})
	salts := rapid.SampledFrom([]string{"", "a", "b"})
	rapid.Check(t, func(t *rapid.T) {
		slots := make([]*slot, rapid.IntRange(1, 5).Draw(t, "slots"))
		idle, reading := 0, false
		for i := range slots {
			s := &slot{id: llama.SeqId(i), salt: salts.Draw(t, "salt"), used: rapid.Uint64Range(0, 9).Draw(t, "used"), held: long.Draw(t, "held")}
			if slots[i] = s; rapid.Bool().Draw(t, "busy") {
				s.work = &sequence{job: &job{input: input{prompt: s.held}}, read: len(s.held)}
				if rapid.Bool().Draw(t, "reads") {
					s.work.read, s.held, reading = 1, s.held[:1], true
				}
			} else {
				idle++
			}
		}
		prompt, salt, whole := long.Draw(t, "prompt"), salts.Draw(t, "wanted"), rapid.Bool().Draw(t, "whole")
		p, wait := choose(slots, prompt, salt, whole)
		switch {
		case (p.slot == nil) != (idle == 0):
			t.Fatalf("%d idle slots, place %+v", idle, p)
		case p.slot == nil:
			return
		case p.slot.work != nil:
			t.Fatal("a busy slot was taken")
		case wait && !reading:
			t.Fatal("waits for nobody")
		case wait: // what it would have is not taken
			return
		}
		source := p.slot
		if p.from != nil {
			if source = p.from; source == p.slot || p.keep < minCopy || whole {
				t.Fatalf("copies %d tokens from %d to %d", p.keep, source.id, p.slot.id)
			}
		}
		if p.keep > source.common(prompt, salt) || p.keep >= len(prompt) || p.keep > 0 && source.salt != salt {
			t.Fatalf("keeps %d of %d", p.keep, source.common(prompt, salt))
		}
		if whole && p.keep != 0 && p.keep != len(source.held) {
			t.Fatalf("keeps %d of %d in a model that keeps all or nothing", p.keep, len(source.held))
		}
		for _, s := range slots {
			if n := s.common(prompt, salt); !whole && n >= p.keep+minCopy {
				t.Fatalf("keeps %d tokens, slot %d has %d", p.keep, s.id, n)
			}
		}
	})
}

// One long conversation is not cut off for a short one that begins like it, while another slot is free.
func TestChooseSparesAConversation(t *testing.T) {
	system := make([]llama.Token, 100)
	conversation := append(append([]llama.Token{}, system...), make([]llama.Token, 300)...)
	for i := 100; i < 400; i++ {
		conversation[i] = 1
	}
	slots := []*slot{{id: 0, held: conversation, used: 1}, {id: 1, used: 2}}
	fresh := append(append([]llama.Token{}, system...), 2, 3)
	if p, _ := choose(slots, fresh, "", false); p.slot != slots[1] || p.from != slots[0] || p.keep != 100 {
		t.Errorf("place %+v", p)
	}
	next := append(append([]llama.Token{}, conversation...), 4)
	if p, _ := choose(slots, next, "", false); p.slot != slots[0] || p.from != nil || p.keep != 400 {
		t.Errorf("the next turn's place %+v", p)
	}
}

func TestCutDropsMarks(t *testing.T) {
	s := &slot{held: make([]llama.Token, 50), marks: []prefix.Mark{{Name: "a", Tokens: 10}, {Name: "b", Tokens: 20}, {Name: "c", Tokens: 50}}}
	if gone := s.cut(20); len(gone) != 1 || gone[0].Name != "c" || len(s.marks) != 2 || len(s.held) != 20 {
		t.Errorf("gone %v, left %v", gone, s.marks)
	}
	if gone := s.cut(0); len(gone) != 2 || len(s.marks) != 0 {
		t.Errorf("gone %v", gone)
	}
}
