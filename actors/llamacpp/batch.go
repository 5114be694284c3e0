package llamacpp

import (
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// How long a step may take at the speed measured last. It is also how late a cancellation is seen, and
// how long running answers stand still while a prompt is read.
const (
	stepBeside = 100 * time.Millisecond // others wait for their next token
	stepAlone  = 500 * time.Millisecond
	// firstStep bounds the prompt's tokens of a step before any speed is known, and minStep always:
	// smaller ones cost more than they are worth.
	firstStep = 256
	minStep   = 32
)

// step decodes one batch and gives each sequence in it its next token.
func (g *generator) step() {
	begin := time.Now()
	read, chosen := g.fillBatch()
	if code, err := llama.Decode(g.ctx, g.batch); err != nil || code != 0 {
		g.fail(code, err)
		return
	}
	for _, s := range g.slots {
		w := s.work
		if w == nil || w.row < 0 {
			continue
		}
		g.announce(s)
		done, err := w.advance(g.ctx, g.model)
		switch {
		case err != nil:
			w.put(event{err: err})
			g.release(s)
		case done:
			g.announceAnswer(s)
			g.release(s)
		}
	}
	g.totals.Steps++
	g.totals.Generated += uint64(chosen)
	g.rates.add(read, chosen, time.Since(begin))
}

// fillBatch takes the next token of each sequence that has one, and shares the rest among prompts.
func (g *generator) fillBatch() (read, chosen int) {
	g.batch.NTokens = 0
	readers := 0
	for _, s := range g.slots {
		w := s.work
		if w == nil {
			continue
		}
		w.row = -1
		if w.reading() {
			readers++
			continue
		}
		w.row = g.add(s, w.next, true)
		chosen++
	}
	room := g.room(chosen)
	for _, s := range g.slots {
		w := s.work
		if w == nil || !w.reading() {
			continue
		}
		n := min(room/readers, len(w.prompt)-w.read)
		for range n {
			last := w.read == len(w.prompt)-1
			row := g.add(s, w.prompt[w.read], last)
			if w.read++; last {
				w.row = row
			}
		}
		room, readers, read = room-n, readers-1, read+n
	}
	return read, chosen
}

// room is how many tokens of prompts this step may read.
func (g *generator) room(chosen int) int {
	within := stepAlone
	if chosen > 0 {
		within = stepBeside
	}
	n := firstStep
	if g.rates.prefill > 0 {
		n = max(minStep, int(g.rates.prefill*within.Seconds()))
	}
	return max(min(n, g.capacity-chosen), min(len(g.slots), g.capacity-chosen))
}

func (g *generator) add(s *slot, t llama.Token, logits bool) int32 {
	row := g.batch.NTokens
	if err := g.batch.Add(t, llama.Pos(len(s.held)), []llama.SeqId{s.id}, logits); err != nil {
		panic("llamacpp: the batch is smaller than what it was planned for: " + err.Error())
	}
	s.held = append(s.held, t)
	return row
}
