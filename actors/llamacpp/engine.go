package llamacpp

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
	"github.com/lotabots/lotabots/actors/llamacpp/tools"
	"github.com/lotabots/lotabots/cluster/spec"
)

// An Engine is a loaded model that answers requests.
type Engine struct {
	config  Config
	model   *model
	format  string // of chats
	family  *tools.Family
	words   map[llama.Token][]byte // of the family's calls
	context int                    // tokens of one request
	gen     *generator
	// threads for one token at a time, and for more
	threads, batchThreads int32

	quit   context.Context
	cancel context.CancelFunc

	adapters adapters

	embedding sync.Mutex // guards emb, which is made when first asked for
	emb       *embedder
	embSteps  atomic.Uint64 // and those of reading

	turns chan struct{} // of large texts to be tokenised
}

// Open loads the libraries and the model and starts the loops.
func Open(c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := loadLibraries(c.Libraries, c.Variant); err != nil {
		return nil, err
	}
	m, err := openModel(c.Model, c.Device, c.Told)
	if err != nil {
		return nil, err
	}
	if c.Name != "" {
		m.name = c.Name
	}
	e := &Engine{config: c, model: m, turns: make(chan struct{}, 1)}
	e.threads, e.batchThreads = c.threads(m.bytes)
	e.context = c.Context
	if e.context == 0 {
		e.context = min(m.trained, defaultContext)
	}
	if e.context > m.trained {
		c.Log.Warn("the context is cut to what the model was trained on", "wanted", e.context, "trained", m.trained)
		e.context = m.trained
	}
	e.quit, e.cancel = context.WithCancel(context.Background())
	if e.format, err = m.chatFormat(c.ChatTemplate); err != nil {
		e.free()
		return nil, err
	}
	template := m.template
	if c.ChatTemplate != "" || template == "" {
		template = e.format
	}
	e.family = tools.ForModel(template, m.controls)
	e.words = m.toolWords(e.family)
	if m.encoder && m.decoder {
		e.free()
		return nil, spec.Errorf(spec.CodeEngineStart, "the model is an encoder with a decoder, which this engine does not serve")
	}
	if m.decoder {
		if e.gen, err = newGenerator(e.quit, m, e.context, c.Slots, e.threads, e.batchThreads, c.shelf(), c.Log); err != nil {
			e.free()
			return nil, err
		}
		go e.gen.run()
	}
	if c.Embeddings == "on" || !m.decoder {
		if _, err = e.embedder(); err != nil {
			e.Close()
			return nil, err
		}
	}
	c.Log.Info("model loaded", "model", m.name, "context", e.context, "slots", c.Slots, "threads", e.threads, "batch_threads", e.batchThreads, "variant", c.Variant, "device", c.Device, "chat", e.format != "", "bytes", m.bytes)
	return e, nil
}

// embedder makes the context for embeddings at the first request, so that nobody pays for it unasked.
func (e *Engine) embedder() (*embedder, error) {
	if e.config.Embeddings == "off" {
		return nil, &spec.Error{Code: spec.CodeUnsupported, Message: "embeddings are switched off", Hint: "Start the engine with --embeddings auto"}
	}
	e.embedding.Lock()
	defer e.embedding.Unlock()
	if e.emb != nil {
		return e.emb, nil
	}
	if e.quit.Err() != nil {
		return nil, spec.Errorf(spec.CodeDraining, "the engine is stopping")
	}
	longest := e.context
	if e.gen != nil && e.config.Embeddings != "on" {
		longest = embedBatch // what the node has reserved memory for, where nobody said that there will be vectors
	}
	emb, err := newEmbedder(e.quit, e.model, longest, e.batchThreads, e.config.Pooling, &e.embSteps, e.config.Log)
	if err != nil {
		return nil, err
	}
	e.emb = emb
	go emb.run()
	return emb, nil
}

// Load is how busy the engine is.
func (e *Engine) Load() Load {
	if e.gen == nil { // then the embedder is there from the start; it computes for several requests together
		asked, slots := int(e.emb.asked.Load()), max(e.config.Slots, 1)
		return Load{Slots: slots, Running: min(asked, slots), Queued: max(asked-slots, 0), Totals: Totals{Steps: e.embSteps.Load()}}
	}
	l := *e.gen.load.Load()
	l.Totals.Steps += e.embSteps.Load()
	return l
}

// Prefixes is what has changed in the beginnings of prompts that the engine holds, after a reader's
// epoch and number.
func (e *Engine) Prefixes(epoch string, seq uint64) prefix.Changes {
	if e.gen == nil {
		return prefix.NewIndex().Since("", 0)
	}
	return e.gen.prefixes.Since(epoch, seq)
}

// Close ends what runs, waits for the loops and frees the model.
func (e *Engine) Close() {
	e.cancel()
	if e.gen != nil {
		<-e.gen.done
	}
	e.embedding.Lock()
	defer e.embedding.Unlock()
	if e.emb != nil {
		<-e.emb.done
	}
	e.free()
}

func (e *Engine) free() {
	e.cancel()
	_ = llama.ModelFree(e.model.handle)
}

// generate starts the answers; their events come to the outbox until ctx ends. adapter may be empty.
func (e *Engine) generate(ctx context.Context, r *openai.Generation, adapter string) (*outbox, error) {
	if e.gen == nil {
		return nil, &spec.Error{Code: spec.CodeUnsupported, Message: "the model makes embeddings only", Hint: "Use /v1/embeddings"}
	}
	if err := e.bounded(r); err != nil {
		return nil, err
	}
	salt, err := e.adapters.saltFor(r.Salt, adapter)
	if err != nil {
		return nil, err
	}
	r.Salt = salt
	may, err := e.caller(r)
	if err != nil {
		return nil, err
	}
	in, err := e.input(ctx, r, e.context)
	if err != nil {
		return nil, err
	}
	begun, events := []llama.Token(nil), 0
	if r.Begun != nil {
		if begun, err = e.model.checked("continuation.token_ids", r.Begun.Tokens); err != nil {
			return nil, err
		}
		events = r.Begun.Events
	}
	room := e.context - len(in.prompt)
	if room < 1 {
		return nil, tooLong("the prompt", len(in.prompt), e.context)
	}
	limit := room
	if r.MaxTokens > 0 {
		limit = min(limit, r.MaxTokens)
	}
	given, forced := len(in.prompt), []llama.Token(nil)
	if r.Logprobs { // of what is held back the client has no scores yet
		n := e.model.shown(begun, r.Stop)
		begun, forced = begun[:n], begun[n:]
	}
	in.prompt = append(in.prompt, begun[:min(len(begun), room-1)]...)
	out := newOutbox()
	for i := range max(r.N, 1) {
		c, err := e.chooser(r, may, i)
		if err != nil {
			return nil, err
		}
		j := &job{
			ctx: ctx, input: in, salt: r.Salt, adapter: adapter, max: limit, chooser: c, caller: may, stops: r.Stop, index: i,
			given: given, begun: begun, forced: forced, events: events, ids: r.TokenIDs,
			scores: r.Logprobs, top: min(r.TopLogprobs, int(e.model.tokens)), out: out,
		}
		if err := e.gen.send(j); err != nil {
			j.free()
			return nil, err // the answers that have begun end with ctx
		}
	}
	return out, nil
}

// chooser is that of the i-th answer. Answers of one request differ by their seeds.
func (e *Engine) chooser(r *openai.Generation, may *caller, i int) (*chooser, error) {
	p := r.Sampling
	for _, b := range p.Bias {
		if _, err := e.model.checked("logit_bias", []int32{b.Token}); err != nil {
			return nil, err
		}
	}
	if p.Seed != nil {
		seed := *p.Seed + uint32(i)
		p.Seed = &seed
	}
	return newChooser(p, r.Grammar, may, e.model)
}

// embed gives a vector per input, and how many tokens were read of each.
func (e *Engine) embed(ctx context.Context, r *openai.Embedding) ([][]float32, []int, error) {
	emb, err := e.embedder()
	if err != nil {
		return nil, nil, err
	}
	if emb.ranks {
		return nil, nil, &spec.Error{Code: spec.CodeUnsupported, Message: "the model ranks texts; it makes no embeddings", Hint: "Use /v1/rerank, or an embedding model"}
	}
	texts, err := e.embedTokens(ctx, r.Inputs, emb.capacity)
	if err != nil {
		return nil, nil, err
	}
	counts := make([]int, len(texts))
	for i, text := range texts {
		counts[i] = len(text)
	}
	vectors, err := emb.embed(ctx, texts)
	return vectors, counts, err
}

func tooLong(what string, has, holds int) error {
	return spec.Errorf(spec.CodeContextLength, "%s has %d tokens; the context holds %d, the answer's included", what, has, holds)
}
