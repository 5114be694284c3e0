package llamacpp

import (
	"cmp"
	"slices"
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
	turn := turnOf(g.slots, g.present)
	if err := g.use(turn); err != nil {
		g.drop(turn, err)
		return
	}
	read, chosen := g.fillBatch(turn)
	if code, err := g.crew.decode(g.ctx, g.batch); err != nil || code != 0 {
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

// drop ends the requests for an adapter.
func (g *generator) drop(adapter string, err error) {
	for _, s := range g.slots {
		if s.work != nil && s.work.adapter == adapter {
			s.work.put(event{err: err})
			g.release(s)
		}
	}
}

// fillBatch takes the next token of each of an adapter's sequences that has one, and shares the rest among
// their prompts.
func (g *generator) fillBatch(adapter string) (read, chosen int) {
	g.batch.NTokens = 0
	var readers []*slot
	for _, s := range g.slots {
		w := s.work
		if w == nil {
			continue
		}
		w.row = -1
		if w.adapter != adapter {
			continue
		}
		if w.reading() {
			readers = append(readers, s)
			continue
		}
		w.row = g.add(s, w.next, true)
		chosen++
	}
	for i, n := range share(g.room(chosen), readers) {
		s, w := readers[i], readers[i].work
		for range n {
			last := w.read == len(w.prompt)-1
			row := g.add(s, w.prompt[w.read], last)
			if w.read++; last {
				w.row = row
			}
		}
		read += n
	}
	return read, chosen
}

// share divides a step's room among the slots that read: those first that have least to read, so that
// short prompts do not wait for long ones, and few are read at a time, which is faster. The one that came
// first has a quarter in any case.
func share(room int, readers []*slot) []int {
	parts := make([]int, len(readers))
	if len(readers) == 0 {
		return parts
	}
	left := func(s *slot) int { return len(s.work.prompt) - s.work.read }
	order := make([]int, len(readers))
	first := 0
	for i := range readers {
		if order[i] = i; readers[i].used < readers[first].used {
			first = i
		}
	}
	parts[first] = min((room+3)/4, left(readers[first]))
	room -= parts[first]
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(left(readers[a]), left(readers[b])), cmp.Compare(readers[a].used, readers[b].used))
	})
	for _, i := range order {
		n := min(room, left(readers[i])-parts[i])
		parts[i] += n
		room -= n
	}
	return parts
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
	return min(n, g.capacity-chosen)
}

func (g *generator) add(s *slot, t llama.Token, logits bool) int32 {
	row := g.batch.NTokens
	if err := g.batch.Add(t, llama.Pos(len(s.held)), []llama.SeqId{s.id}, logits); err != nil {
		panic("llamacpp: the batch is smaller than what it was planned for: " + err.Error())
	}
	s.held = append(s.held, t)
	return row
}
