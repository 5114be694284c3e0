package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A pull is one model on its way from several holders. Its streams take chunks
// from one list; a holder that failed is asked no further.
type pull struct {
	f      *Fetcher
	model  *wire.Model
	to     Writer
	flight *flight

	mu      sync.Mutex
	missing []int
	have    int
	told    int // percent last logged
	holders []*holder
}

type holder struct {
	id     spec.NodeID
	busy   int // streams that ask it now
	failed error
}

func newPull(f *Fetcher, m *wire.Model, w Writer, missing []int) *pull {
	p := &pull{f: f, model: m, to: w, missing: missing, have: len(m.Chunks) - len(missing)}
	for _, id := range f.holders() {
		p.holders = append(p.holders, &holder{id: id})
	}
	return p
}

// length is of chunk i, which the model has.
func (p *pull) length(i int) int {
	size := int64(p.model.ChunkSize)
	return int(min(size, int64(p.model.Size)-int64(i)*size))
}

func (p *pull) run(ctx context.Context) error {
	if size := p.model.ChunkSize; size == 0 || size > maxChunk {
		return fmt.Errorf("the model's chunk size of %d is out of range", size)
	}
	g, ctx := errgroup.WithContext(ctx)
	for range min(streams, len(p.missing)) {
		g.Go(func() error {
			buf := make([]byte, min(uint64(p.model.ChunkSize), p.model.Size))
			for {
				i, ok := p.take()
				if !ok {
					return nil
				}
				if err := p.one(ctx, i, buf[:p.length(i)]); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

func (p *pull) take() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.missing) == 0 {
		return 0, false
	}
	i := p.missing[0]
	p.missing = p.missing[1:]
	return i, true
}

// one brings chunk i from whichever holder has it whole.
func (p *pull) one(ctx context.Context, i int, buf []byte) error {
	for {
		h := p.choose()
		if h == nil {
			return p.exhausted()
		}
		err := p.from(ctx, h.id, i, buf)
		if fault := (*keeping)(nil); err == nil || errors.As(err, &fault) {
			p.release(h, nil)
			return err // a failure to write, for which no other holder can help
		}
		if ctx.Err() != nil {
			p.release(h, nil)
			return context.Cause(ctx)
		}
		p.release(h, err)
		p.f.opts.Log.Warn("a holder failed to give a chunk", "model", p.model.Name, "chunk", i, "node", h.id, "error", err)
	}
}

// from brings chunk i from one holder. What is wrong is asked for once more: a holder
// that finds it wrong on its own disk sets its copy aside.
func (p *pull) from(ctx context.Context, id spec.NodeID, i int, buf []byte) error {
	for again := false; ; again = true {
		if err := p.f.opts.Pace.Wait(ctx, len(buf)); err != nil {
			return err
		}
		b, err := p.f.get(ctx, id, p.model, i, buf, again)
		if err != nil {
			return err
		}
		err = p.to.PutChunk(i, b)
		switch {
		case err == nil:
			p.progress(len(b))
			return nil
		case spec.CodeOf(err) != spec.CodeModelDamaged:
			return &keeping{fmt.Errorf("keep chunk %d of model %s: %w", i, p.model.Name, err)}
		case again:
			return err
		}
		p.f.opts.Metrics.Damaged("wire", 1)
		p.f.opts.Log.Warn("a chunk came that does not match its digest", "model", p.model.Name, "chunk", i, "node", id)
	}
}

// keeping is a failure to write what was good.
type keeping struct{ error }

func (k *keeping) Unwrap() error { return k.error }

// choose takes the least busy holder that has not failed, the first of equals.
func (p *pull) choose() *holder {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *holder
	for _, h := range p.holders {
		if h.failed == nil && (best == nil || h.busy < best.busy) {
			best = h
		}
	}
	if best != nil {
		best.busy++
	}
	return best
}

func (p *pull) release(h *holder, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.busy--
	if err != nil && h.failed == nil {
		h.failed = err
	}
}

func (p *pull) exhausted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.holders) == 0 {
		return &spec.Error{Code: spec.CodeNotReady, Message: "No live node is known that could hold model " + p.model.Name + ".",
			Hint: "Start a node that has the model, or import it again."}
	}
	var why []error
	var said []string
	for _, h := range p.holders {
		why = append(why, fmt.Errorf("%s: %w", h.id, h.failed))
		said = append(said, fmt.Sprintf("%s (%v)", h.id, h.failed))
	}
	return &spec.Error{Code: spec.CodeNotReady, Err: errors.Join(why...),
		Message: fmt.Sprintf("Model %s could not be fetched: tried %s; %d of %d chunks are here.",
			p.model.Name, strings.Join(said, ", "), p.have, len(p.model.Chunks)),
		Hint: "Start a node that has the model whole, or import it again; what is here is kept."}
}

func (p *pull) progress(bytes int) {
	p.mu.Lock()
	p.have++
	have, total := p.have, len(p.model.Chunks)
	percent := have * 100 / total
	tell := percent >= p.told+progressStep
	if tell {
		p.told = percent
	}
	p.mu.Unlock()
	p.flight.here.Add(int64(bytes))
	if p.f.opts.Progress != nil {
		p.f.opts.Progress(p.model, have, total)
	}
	if tell {
		p.f.opts.Log.Info("fetching a model", "model", p.model.Name, "percent", percent, "chunks", have, "of", total)
	}
}

func (p *pull) names() []spec.NodeID {
	var out []spec.NodeID
	for _, h := range p.holders {
		out = append(out, h.id)
	}
	return out
}
