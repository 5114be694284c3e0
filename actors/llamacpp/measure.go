package llamacpp

import (
	"math/rand/v2"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
	"github.com/lotabots/lotabots/cluster/spec"
)

// Measure tells how fast c's model is with c's variant, for each number of threads worth trying, in about
// the time given, the load not counted. It says each result as soon as it has it.
func Measure(c Config, within time.Duration, say func(tuning.Result) error) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := loadLibraries(c.Libraries, c.Variant); err != nil {
		return err
	}
	m, err := openModel(c.Model, c.Device, nil)
	if err != nil {
		return err
	}
	defer func() { _ = llama.ModelFree(m.handle) }()
	if m.decoder && m.encoder || m.trained < 2*measuredPrompt {
		return spec.Errorf(spec.CodeEngineStart, "the model is not one that this engine measures")
	}
	p := m.contextParams()
	if !m.decoder {
		p.Embeddings = 1
	}
	p.NCtx, p.NBatch, p.NUbatch, p.NSeqMax, p.NoPerf = 4*measuredPrompt, measuredPrompt, measuredPrompt, 1, 1
	ctx, err := llama.InitFromModel(m.handle, p)
	if err != nil {
		return err
	}
	defer func() { _ = llama.Free(ctx) }()
	memory, err := llama.GetMemory(ctx)
	if err != nil && m.decoder { // an encoder has none
		return err
	}
	b := bench{ctx: ctx, memory: memory, batch: llama.BatchInit(measuredPrompt, 0, 1), tokens: m.tokens, limit: measuredPrompt}
	if m.decoder {
		b.limit = min(3*measuredPrompt, m.trained)
	}
	defer func() { _ = llama.BatchFree(b.batch) }()
	one := 1
	if !m.decoder { // it never reads one token alone
		one = measuredPrompt
	}
	counts, fastest := tuning.Counts(tuning.Cores()), 0.0
	for _, n := range counts {
		llama.SetNThreads(ctx, int32(n), int32(n))
		share := within / time.Duration(2*len(counts))
		r := tuning.Result{Variant: c.Variant, Threads: n}
		if r.Decode = b.speed(one, share); r.Decode < fastest/4 {
			break // threads that wait for each other; more would be worse, and each step takes long
		}
		fastest = max(fastest, r.Decode)
		r.Prefill = b.speed(measuredPrompt, share)
		if err := say(r); err != nil {
			return err
		}
	}
	return nil
}

// measuredPrompt is how many tokens are read at once to measure the reading.
const measuredPrompt = 64

type bench struct {
	ctx    llama.Context
	memory llama.Memory
	batch  llama.Batch
	tokens int32
	limit  int // positions: an encoder's texts all begin at the first, a decoder's go on
}

// speed is the tokens per second of the fastest of the steps of n tokens that the time allows, the first
// one not counted where there is time for more.
func (b *bench) speed(n int, within time.Duration) float64 {
	best, at := 0.0, 0
	for began, steps := time.Now(), 0; steps < 2 || time.Since(began) < within; steps++ {
		if at+n > b.limit || at == 0 {
			at = 0
			_ = llama.MemoryClear(b.memory, false)
		}
		b.batch.NTokens = 0
		for i := range n {
			if err := b.batch.Add(llama.Token(rand.Int32N(b.tokens)), llama.Pos(at+i), []llama.SeqId{0}, i == n-1); err != nil {
				return 0
			}
		}
		step := time.Now()
		if code, err := llama.Decode(b.ctx, b.batch); err != nil || code != 0 {
			return 0
		}
		took := time.Since(step)
		if steps > 0 {
			best = max(best, float64(n)/max(took.Seconds(), 1e-9))
		}
		if took > 4*within { // a second step would be too long
			return max(best, float64(n)/took.Seconds())
		}
		at += n
	}
	return best
}
