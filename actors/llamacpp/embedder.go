package llamacpp

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	// embedBatch bounds the tokens of one step, where the context is not longer anyway.
	embedBatch = 2048
	// embedSequences bounds the texts of one step.
	embedSequences = 64
	// leastStep is what a step has room for at least, where there are several texts.
	leastStep = 128
)

// poolings are the names of what --pooling takes; the model's own is used unless told otherwise.
var poolings = map[string]llama.PoolingType{
	"": llama.PoolingTypeUnspecified, "mean": llama.PoolingTypeMean, "cls": llama.PoolingTypeCLS,
	"last": llama.PoolingTypeLast, "rank": llama.PoolingTypeRank,
}

// An embedder owns a context that pools: its loop alone decodes. It keeps nothing between steps.
type embedder struct {
	model    *model
	ctx      llama.Context
	memory   llama.Memory
	batch    llama.Batch
	capacity int   // tokens of a batch, and of a text
	together int   // tokens of a step of several texts
	ranks    bool  // the vectors are scores
	length   int32 // of a vector
	submit   chan *embedJob
	quit     context.Context
	done     chan struct{}
	asked    atomic.Int32 // requests that wait or run
	// steps counts signs of life: each step, and within one whenever llama.cpp has computed on for signEvery.
	steps   *atomic.Uint64
	serving atomic.Pointer[[]*embedJob] // whose texts are in the step
	signed  time.Time                   // the last sign; the thread that computes alone touches it
	crew    crew
	log     *slog.Logger
}

func newEmbedder(quit context.Context, m *model, contextSize int, threads int32, pooling string, steps *atomic.Uint64, log *slog.Logger) (*embedder, error) {
	capacity := min(max(embedBatch, contextSize), m.trained)
	p := m.contextParams()
	p.NCtx, p.NBatch, p.NUbatch = uint32(capacity), uint32(capacity), uint32(capacity)
	p.NSeqMax, p.KVUnified, p.Embeddings, p.NoPerf = embedSequences, 1, 1, 1
	p.NThreads, p.NThreadsBatch = threads, threads
	p.FlashAttentionType = embedAttention(p.FlashAttentionType, capacity)
	p.PoolingType = poolings[pooling]
	ctx, err := llama.InitFromModel(m.handle, p)
	if err == nil && llama.GetPoolingType(ctx) == llama.PoolingTypeNone {
		_ = llama.Free(ctx)
		p.PoolingType = llama.PoolingTypeMean // what a model that was made for text has none of its own for
		ctx, err = llama.InitFromModel(m.handle, p)
	}
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeOutOfMemory, Message: "llama.cpp cannot make a context for embeddings", Err: err}
	}
	ranks, length := llama.GetPoolingType(ctx) == llama.PoolingTypeRank, m.length
	if ranks {
		length = max(int32(llama.ModelNClsOut(m.handle)), 1)
	}
	memory, err := llama.GetMemory(ctx)
	if err != nil {
		return nil, err
	}
	e := &embedder{
		model: m, ctx: ctx, memory: memory, batch: llama.BatchInit(int32(capacity), 0, 1), capacity: capacity, ranks: ranks, length: length,
		together: min(max(leastStep, int(m.length)), capacity), submit: make(chan *embedJob), quit: quit, done: make(chan struct{}), steps: steps, log: log,
		crew: newCrew(m, threads, threads, log),
	}
	llama.SetAbortCallback(ctx, e.within)
	return e, nil
}

// signEvery is how often a long step shows that it goes on.
const signEvery = 20 * time.Millisecond

// within is asked between two operations of a step on a CPU: whether to break it off. A text is read in one step,
// which may take long.
func (e *embedder) within() bool {
	if now := time.Now(); now.Sub(e.signed) >= signEvery {
		e.signed = now
		e.steps.Add(1)
	}
	jobs := e.serving.Load()
	return jobs != nil && (e.quit.Err() != nil || allGone(*jobs))
}

// embedAttention is flash attention for long texts, on a CPU too: a text is read in one step, and without it
// each head holds a score for every two of its tokens.
func embedAttention(usual llama.FlashAttentionType, capacity int) llama.FlashAttentionType {
	if capacity > embedBatch {
		return llama.FlashAttentionTypeAuto
	}
	return usual
}

func (e *embedder) run() {
	defer close(e.done)
	defer func() {
		_ = llama.BatchFree(e.batch)
		_ = llama.Free(e.ctx)
	}()
	var jobs []*embedJob
	for e.gather(&jobs) {
		jobs = e.advance(jobs)
	}
	for _, j := range jobs {
		j.end(errStopping)
	}
}

func (e *embedder) step(texts [][]llama.Token) ([][]float32, error) {
	e.batch.NTokens = 0
	if e.memory != 0 { // encoders have none
		if err := llama.MemoryClear(e.memory, false); err != nil {
			return nil, err
		}
	}
	for i, text := range texts {
		for at, t := range text {
			if err := e.batch.Add(t, llama.Pos(at), []llama.SeqId{llama.SeqId(i)}, true); err != nil {
				return nil, err
			}
		}
	}
	code, err := e.crew.decode(e.ctx, e.batch)
	e.steps.Add(1)
	if code != 0 && e.within() {
		return nil, errStopping // or all have gone, and nobody reads it
	}
	if err != nil || code != 0 {
		e.log.Error("llama.cpp failed to embed", "code", code, "tokens", e.batch.NTokens, "error", err)
		return nil, spec.Errorf(spec.CodeUpstream, "llama.cpp failed to embed a batch (%d)", code)
	}
	vectors := make([][]float32, len(texts))
	for i := range texts {
		v, err := llama.GetEmbeddingsSeq(e.ctx, llama.SeqId(i), e.length)
		if err != nil || v == nil {
			return nil, spec.Errorf(spec.CodeUpstream, "llama.cpp gave no embedding")
		}
		if vectors[i] = normalised(v); e.ranks {
			vectors[i] = slices.Clone(v)
		}
	}
	return vectors, nil
}

// normalised copies v, which belongs to the library, at length 1.
func normalised(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	scale := 1 / math.Sqrt(max(sum, 1e-24))
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) * scale)
	}
	return out
}
