package llamacpp

import (
	"slices"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
)

// A shelf keeps, in the main memory, what slots held before they had to give it up: a conversation that
// goes on later is put back instead of read again. The generator's goroutine owns it.
type shelf struct {
	room   int // bytes
	bytes  int
	spares []*spare // the longest unused first
}

// A spare is a sequence's state outside the context.
type spare struct {
	held  []llama.Token
	salt  string
	marks []prefix.Mark
	data  []byte
}

// best is the spare that holds most of a prompt, and how much; nil: none holds anything of it.
func (h *shelf) best(prompt []llama.Token, salt string, whole bool) (found *spare, most int) {
	for _, s := range h.spares {
		if s.salt != salt {
			continue
		}
		if n := common(s.held, prompt[:len(prompt)-1]); n > most && (!whole || n == len(s.held)) {
			found, most = s, n
		}
	}
	return found, most
}

// put adds a spare, and drops what it makes superfluous: the same conversation's beginnings, and as many
// of the longest unused as the room demands.
func (h *shelf) put(s *spare) (dropped []*spare) {
	dropped = h.drop(func(old *spare) bool {
		return old.salt == s.salt && common(old.held, s.held) == len(old.held)
	})
	h.spares = append(h.spares, s)
	h.bytes += len(s.data)
	return append(dropped, h.drop(func(*spare) bool { return h.bytes > h.room })...)
}

func (h *shelf) take(s *spare) { h.drop(func(old *spare) bool { return old == s }) }

// drop asks in the order of the spares, and counts what is gone at once.
func (h *shelf) drop(is func(*spare) bool) (gone []*spare) {
	kept := h.spares[:0]
	for _, s := range h.spares {
		if !is(s) {
			kept = append(kept, s)
			continue
		}
		h.bytes -= len(s.data)
		gone = append(gone, s)
	}
	clear(h.spares[len(kept):])
	h.spares = kept
	return gone
}

func (h *shelf) tokens() (n int) {
	for _, s := range h.spares {
		n += len(s.held)
	}
	return n
}

// shelve keeps what a slot is about to lose of what it holds, if it is worth it and the shelf has room.
func (g *generator) shelve(s *slot, keep int) {
	if len(s.held)-keep < minCopy {
		return
	}
	size := llama.StateSeqGetSize(g.ctx, s.id)
	if size == 0 || size > uint64(g.shelf.room) {
		return
	}
	data := make([]byte, size)
	n := llama.StateSeqGetData(g.ctx, data, s.id)
	if n == 0 || n > size {
		return
	}
	gone := g.shelf.put(&spare{held: slices.Clone(s.held), salt: s.salt, marks: slices.Clone(s.marks), data: data[:n]})
	g.prefixes.Add(s.marks...)
	for _, old := range gone {
		g.prefixes.Remove(old.marks...)
	}
}

// unshelve puts a spare into a slot, whose own content is shelved in turn. False: llama.cpp did not take it.
func (g *generator) unshelve(p *spare, s *slot) bool {
	g.shelf.take(p)
	g.shelve(s, 0)
	g.forget(s, 0)
	if llama.StateSeqSetData(g.ctx, p.data, s.id) == 0 {
		g.forget(s, 0)
		g.prefixes.Remove(p.marks...)
		return false
	}
	s.held, s.marks, s.salt = p.held, p.marks, p.salt
	return true
}
