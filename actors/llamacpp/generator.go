package llamacpp

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	// maxBatch bounds the tokens of one step.
	maxBatch = 2048
	// promptShare bounds the prompt tokens of a step while others wait for their next token.
	promptShare = 256
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
	slots    []*sequence
	queue    []*job
	submit   chan *job
	quit     context.Context
	done     chan struct{}
	load     atomic.Pointer[Load]
	rates    rates
	log      *slog.Logger
}

func newGenerator(quit context.Context, m *model, contextSize, slots int, threads int32, log *slog.Logger) (*generator, error) {
	capacity := max(min(maxBatch, contextSize), slots)
	p := m.contextParams()
	p.NCtx, p.NSeqMax = uint32(contextSize*slots), uint32(slots)
	p.NBatch, p.NUbatch = uint32(capacity), uint32(min(capacity, 512))
	p.NThreads, p.NThreadsBatch = threads, threads
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
		context: contextSize, slots: make([]*sequence, slots), submit: make(chan *job), quit: quit,
		done: make(chan struct{}), log: log,
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
		case <-g.quit.Done():
			return false
		}
	}
	for {
		select {
		case j := <-g.submit:
			g.enqueue(j)
		case <-g.quit.Done():
			return false
		default:
			return true
		}
	}
}

func (g *generator) enqueue(j *job) {
	if len(g.queue) >= maxQueue {
		j.out.put(event{err: spec.Errorf(spec.CodeBusy, "%d requests wait for one of %d slots", len(g.queue), len(g.slots))})
		return
	}
	g.queue = append(g.queue, j)
}

// dropCancelled frees the slots of clients that have gone, and takes them out of the queue.
func (g *generator) dropCancelled() {
	for _, s := range g.slots {
		if s != nil && s.ctx.Err() != nil {
			g.release(s)
		}
	}
	waiting := g.queue[:0]
	for _, j := range g.queue {
		if j.ctx.Err() == nil {
			waiting = append(waiting, j)
		}
	}
	clear(g.queue[len(waiting):])
	g.queue = waiting
}

func (g *generator) fillSlots() {
	for i, s := range g.slots {
		if s == nil && len(g.queue) > 0 {
			g.slots[i] = newSequence(g.queue[0], i, g.model)
			g.queue[0] = nil
			g.queue = g.queue[1:]
		}
	}
}

// release empties a slot.
func (g *generator) release(s *sequence) {
	if _, err := llama.MemorySeqRm(g.memory, s.slot, -1, -1); err != nil {
		g.log.Error("cannot free a sequence's cache", "slot", s.slot, "error", err)
	}
	llama.SamplerFree(s.sampler)
	g.slots[s.slot] = nil
}

// step decodes one batch and gives each sequence in it its next token.
func (g *generator) step() {
	begin := time.Now()
	read, chosen := g.fillBatch()
	if code, err := llama.Decode(g.ctx, g.batch); err != nil || code != 0 {
		g.fail(code, err)
		return
	}
	for _, s := range g.slots {
		if s == nil || s.row < 0 {
			continue
		}
		if s.accept(llama.SamplerSample(s.sampler, g.ctx, s.row), g.model) {
			g.release(s)
		}
	}
	g.rates.add(read, chosen, time.Since(begin))
}

// fillBatch takes the next token of each sequence that has one, and shares the rest among prompts.
func (g *generator) fillBatch() (read, chosen int) {
	g.batch.NTokens = 0
	readers := 0
	for _, s := range g.slots {
		if s == nil {
			continue
		}
		s.row = -1
		if s.reading() {
			readers++
			continue
		}
		s.row = g.add(s, s.next, s.cached(), true)
		chosen++
	}
	room := g.capacity - chosen
	if chosen > 0 {
		room = min(room, promptShare)
	}
	for _, s := range g.slots {
		if s == nil || !s.reading() {
			continue
		}
		n := min(room/readers, len(s.prompt)-s.read)
		for range n {
			last := s.read == len(s.prompt)-1
			row := g.add(s, s.prompt[s.read], s.read, last)
			if s.read++; last {
				s.row = row
			}
		}
		room, readers, read = room-n, readers-1, read+n
	}
	return read, chosen
}

func (g *generator) add(s *sequence, t llama.Token, at int, logits bool) int32 {
	row := g.batch.NTokens
	if err := g.batch.Add(t, llama.Pos(at), []llama.SeqId{s.slot}, logits); err != nil {
		panic("llamacpp: the batch is smaller than what it was planned for: " + err.Error())
	}
	return row
}

// fail ends every running request: after a failed decode the state of none is known.
func (g *generator) fail(code int32, err error) {
	g.log.Error("llama.cpp failed to decode", "code", code, "tokens", g.batch.NTokens, "error", err)
	for _, s := range g.slots {
		if s != nil {
			s.out.put(event{err: spec.Errorf(spec.CodeUpstream, "llama.cpp failed to decode a batch (%d)", code)})
			g.release(s)
		}
	}
}

// free answers whoever is left and gives the context back.
func (g *generator) free() {
	gone := event{err: spec.Errorf(spec.CodeDraining, "the engine is stopping")}
	for _, s := range g.slots {
		if s != nil {
			s.out.put(gone)
			g.release(s)
		}
	}
	for _, j := range g.queue {
		j.out.put(gone)
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
