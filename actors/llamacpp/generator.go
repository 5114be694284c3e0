package llamacpp

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	// maxBatch bounds the tokens of one step.
	maxBatch = 2048
	// maxQueue bounds who waits for a slot; admission before the engine keeps it far from here.
	maxQueue = 1024
)

// A generator owns a context: its loop alone decodes, samples and touches slots and queue.
type generator struct {
	model    *model
	ctx      llama.Context
	memory   llama.Memory
	batch    llama.Batch
	capacity int // tokens of a batch
	context  int // tokens of a sequence
	slots    []*slot
	queue    []*job
	turn     uint64 // requests that have been given a slot
	submit   chan *job
	canaries chan chan<- error // each answered once
	changes  chan adapterChange
	adapters map[string]llama.AdapterLora
	present  string // adapter that the context computes with; empty: none
	quit     context.Context
	done     chan struct{}
	load     atomic.Pointer[Load]
	prefixes *prefix.Index
	rates    rates
	crew     crew
	totals   Totals
	shelf    shelf
	scratch  []llama.TokenData // one step's candidates for a grammar
	log      *slog.Logger
}

func newGenerator(quit context.Context, m *model, contextSize, slots int, threads, batchThreads int32, shelfBytes int, log *slog.Logger) (*generator, error) {
	capacity := max(min(maxBatch, contextSize), slots)
	p := m.contextParams()
	p.NCtx, p.NSeqMax = uint32(contextSize*slots), uint32(slots)
	p.NBatch, p.NUbatch = uint32(capacity), uint32(min(capacity, 512))
	p.NThreads, p.NThreadsBatch = threads, batchThreads
	p.KVUnified, p.NoPerf = 0, 1 // each slot has its own share, so an admitted request never lacks room
	ctx, err := llama.InitFromModel(m.handle, p)
	if err != nil {
		return nil, &spec.Error{
			Code: spec.CodeEngineStart, Err: err, Message: "llama.cpp cannot make a context",
			Hint: "Lower --context or --slots: their product is what the memory must hold",
		}
	}
	memory, err := llama.GetMemory(ctx)
	if err != nil {
		return nil, err
	}
	g := &generator{
		model: m, ctx: ctx, memory: memory, batch: llama.BatchInit(int32(capacity), 0, 1), capacity: capacity,
		context: contextSize, slots: make([]*slot, slots), submit: make(chan *job), canaries: make(chan chan<- error), quit: quit,
		changes: make(chan adapterChange), adapters: map[string]llama.AdapterLora{},
		done: make(chan struct{}), log: log, prefixes: prefix.NewIndex(), shelf: shelf{room: shelfBytes}, scratch: make([]llama.TokenData, m.tokens),
		crew: newCrew(m, threads, batchThreads, log),
	}
	for i := range g.slots {
		g.slots[i] = &slot{id: llama.SeqId(i)}
	}
	g.publish()
	return g, nil
}

// run is the loop; it ends when quit does, and frees the context.
func (g *generator) run() {
	defer close(g.done)
	defer g.free()
	for g.take() {
		g.dropCancelled()
		g.fillSlots()
		g.publish()
		if g.running() > 0 {
			g.step()
		}
	}
}

// take collects new jobs; it waits only while there is nothing to do. False: quit.
func (g *generator) take() bool {
	if g.running() == 0 && len(g.queue) == 0 {
		g.publish()
		select {
		case j := <-g.submit:
			g.enqueue(j)
		case answer := <-g.canaries:
			answer <- g.sing()
		case c := <-g.changes:
			c.answer <- g.adapt(c)
		case <-g.quit.Done():
			return false
		}
	}
	for {
		select {
		case j := <-g.submit:
			g.enqueue(j)
		case answer := <-g.canaries:
			answer <- g.sing()
		case c := <-g.changes:
			c.answer <- g.adapt(c)
		case <-g.quit.Done():
			return false
		default:
			return true
		}
	}
}

func (g *generator) enqueue(j *job) {
	if len(g.queue) >= maxQueue {
		j.refuse(spec.Errorf(spec.CodeBusy, "%d requests wait for one of %d slots", len(g.queue), len(g.slots)))
		return
	}
	g.queue = append(g.queue, j)
}

// dropCancelled frees the slots of clients that have gone, and takes them out of the queue.
func (g *generator) dropCancelled() {
	for _, s := range g.slots {
		if s.work != nil && s.work.ctx.Err() != nil {
			g.release(s)
		}
	}
	waiting := g.queue[:0]
	for _, j := range g.queue {
		if j.ctx.Err() == nil {
			waiting = append(waiting, j)
		} else {
			j.free()
		}
	}
	clear(g.queue[len(waiting):])
	g.queue = waiting
}

// fillSlots gives idle slots to who waits, the oldest first, but for those whose prompt another
// request is just about to read.
func (g *generator) fillSlots() {
	waiting := g.queue[:0]
	for i, j := range g.queue {
		p, wait := choose(g.slots, j.prompt, j.salt, g.model.whole)
		if p.slot == nil {
			waiting = append(waiting, g.queue[i:]...)
			break
		}
		if wait {
			waiting = append(waiting, j)
			continue
		}
		g.settle(p, j)
	}
	clear(g.queue[len(waiting):])
	g.queue = waiting
}

// settle puts a job into its place. Where llama.cpp cannot keep a part, all is read again.
func (g *generator) settle(p place, j *job) {
	s := p.slot
	if spare, most := g.shelf.best(j.prompt, j.salt, g.model.whole); most >= p.keep+minCopy {
		s, p.from, p.keep = oldest(g.slots, nil), nil, most
		if !g.unshelve(spare, s) {
			p.keep = 0
		}
	}
	if p.from != nil {
		g.shelve(s, 0)
		g.forget(s, 0)
		if err := llama.MemorySeqCp(g.memory, p.from.id, s.id, -1, -1); err != nil {
			p.keep = 0
		} else {
			s.held = append(s.held, p.from.held...)
		}
	} else {
		g.shelve(s, p.keep)
	}
	g.forget(s, p.keep)
	g.turn++
	j.chooser.scratch = g.scratch
	s.salt, s.used, s.work = j.salt, g.turn, newSequence(j, len(s.held))
	g.totals.Prompt += uint64(len(j.prompt))
	g.totals.Cached += uint64(len(s.held))
	if done, err := s.work.replay(g.model); done {
		if err != nil {
			s.work.put(event{err: err})
		}
		g.release(s)
	}
}

// forget leaves the first keep tokens of a slot, or none where it cannot.
func (g *generator) forget(s *slot, keep int) {
	if keep < len(s.held) && keep > 0 {
		if ok, err := llama.MemorySeqRm(g.memory, s.id, llama.Pos(keep), -1); err != nil || !ok {
			keep = 0
		}
	}
	if keep == 0 {
		if _, err := llama.MemorySeqRm(g.memory, s.id, -1, -1); err != nil {
			g.log.Error("cannot free a sequence's cache", "slot", s.id, "error", err)
		}
	}
	g.prefixes.Remove(s.cut(keep)...)
}

// release empties a slot of its request; what it has read stays.
func (g *generator) release(s *slot) {
	s.work.free()
	s.work = nil
}

// fail ends every running request: after a failed decode the state of none is known.
func (g *generator) fail(code int32, err error) {
	g.log.Error("llama.cpp failed to decode", "code", code, "tokens", g.batch.NTokens, "error", err)
	for _, s := range g.slots {
		if s.work != nil {
			s.work.put(event{err: spec.Errorf(spec.CodeUpstream, "llama.cpp failed to decode a batch (%d)", code)})
			g.release(s)
		}
		g.forget(s, 0)
	}
}

// free answers whoever is left and gives the context back.
func (g *generator) free() {
	gone := spec.Errorf(spec.CodeDraining, "the engine is stopping")
	for _, s := range g.slots {
		if s.work != nil {
			s.work.put(event{err: gone})
			g.release(s)
		}
	}
	for _, j := range g.queue {
		j.refuse(gone)
	}
	g.queue = nil
	g.publish()
	_ = llama.BatchFree(g.batch)
	_ = llama.Free(g.ctx)
}

// send hands a job to the loop.
func (g *generator) send(j *job) error {
	select {
	case g.submit <- j:
		return nil
	case <-j.ctx.Done():
		return j.ctx.Err()
	case <-g.done:
		return spec.Errorf(spec.CodeDraining, "the engine is stopping")
	}
}
