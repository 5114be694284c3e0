package blob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// patience is how long a pull waits for holders that are fetching themselves, and have
// nothing that it lacks.
const patience = 10 * time.Second

// A pull is one model on its way from several holders. Its streams take chunks
// from one list; a holder that failed is asked no further.
type pull struct {
	f      *Fetcher
	model  *wire.Model
	to     Writer
	flight *flight

	mu      sync.Mutex
	missing []int // nobody is asked for them now
	asked   int   // chunks that somebody is asked for
	have    int
	before  bool   // a part was here when it began
	came    []bool // chunks that are here
	told    int    // percent last logged
	holders []*holder
	scouted bool          // every holder that is to be asked what it has was asked once
	moved   time.Time     // when a chunk came last, or more was heard of
	turn    chan struct{} // closed when something has changed
}

// newPull has its chunks come in turn from a place of its own where holders tell what
// they have: two nodes that begin together have different ones to give each other.
func newPull(f *Fetcher, m *wire.Model, w Writer, missing []int) *pull {
	p := &pull{f: f, model: m, to: w, have: len(m.Chunks) - len(missing), moved: time.Now(), turn: make(chan struct{})}
	p.before, p.came = p.have > 0, make([]bool, len(m.Chunks))
	for i := range p.came {
		_, lacks := slices.BinarySearch(missing, i)
		p.came[i] = !lacks
	}
	first := 0
	if f.opts.Dial != nil && len(missing) > 0 {
		first = rand.IntN(len(missing))
	}
	p.missing = append(append(p.missing, missing[first:]...), missing[:first]...)
	for _, id := range f.holders() {
		p.holders = append(p.holders, &holder{id: id, plain: f.opts.Dial == nil})
	}
	p.scouted = f.opts.Dial == nil
	return p
}

// lengthOf is of chunk i, which the model has.
func lengthOf(m *wire.Model, i int) int {
	size := int64(m.GetChunkSize())
	return int(min(size, int64(m.GetSize())-int64(i)*size))
}

func (p *pull) run(ctx context.Context) error {
	if size := p.model.ChunkSize; size == 0 || size > maxChunk {
		return fmt.Errorf("the model's chunk size of %d is out of range", size)
	}
	own, done := context.WithCancel(ctx)
	var scouts sync.WaitGroup
	if !p.scouted {
		scouts.Go(func() { p.scout(own) })
	}
	g, streaming := errgroup.WithContext(ctx)
	for range min(streams, len(p.missing)) {
		g.Go(func() error {
			s := stream{p: p, links: map[*holder]*link{}}
			defer s.close()
			return s.run(streaming)
		})
	}
	err := g.Wait()
	done()
	scouts.Wait()
	return err
}

// next takes a chunk and who is to give it, and waits where nobody has one now. Without
// a holder and an error all has come.
func (p *pull) next(ctx context.Context) (*holder, int, error) {
	for {
		h, i, turn, err := p.try()
		if h != nil || turn == nil {
			return h, i, err
		}
		select {
		case <-turn:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// try gives neither a holder nor what to wait for at the end.
func (p *pull) try() (*holder, int, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, at := choose(p.holders, p.missing)
	switch {
	case h != nil:
		i := p.missing[at]
		p.missing = append(p.missing[:at], p.missing[at+1:]...)
		h.busy++
		p.asked++
		return h, i, nil, nil
	case len(p.missing) == 0 && p.asked == 0:
		return nil, 0, nil, nil
	case len(p.missing) > 0 && p.asked == 0 && p.scouted && !anyFresh(p.holders) &&
		!(anyHope(p.holders, p.before) && time.Since(p.moved) < patience):
		return nil, 0, nil, p.exhaustedLocked()
	}
	return nil, 0, p.turn, nil
}

// settle notes how it went with a chunk that next gave. Its error ends the pull.
func (p *pull) settle(ctx context.Context, h *holder, i int, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.turnLocked()
	h.busy--
	p.asked--
	if err == nil {
		p.moved, p.came[i] = time.Now(), true
		return nil
	}
	p.missing = append(p.missing, i)
	if fault := (*keeping)(nil); errors.As(err, &fault) {
		return fmt.Errorf("keep chunk %d of model %s: %w", i, p.model.Name, fault.error) // no other holder can help
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if h.lost(i, err) {
		p.f.opts.Log.Warn("a holder failed to give a chunk", "model", p.model.Name, "chunk", i, "node", h.id, "error", err)
	}
	return nil
}

func (p *pull) turnLocked() {
	close(p.turn)
	p.turn = make(chan struct{})
}

// keeping is a failure to write what was good.
type keeping struct{ error }

func (k *keeping) Unwrap() error { return k.error }

func (p *pull) exhaustedLocked() error {
	if len(p.holders) == 0 {
		return &spec.Error{Code: spec.CodeNotReady, Message: "No live node is known that could hold model " + p.model.Name + ".",
			Hint: "Start a node that has the model, or import it again."}
	}
	var why []error
	var said []string
	for _, h := range p.holders {
		err := h.trouble()
		why = append(why, fmt.Errorf("%s: %w", h.id, err))
		said = append(said, fmt.Sprintf("%s (%v)", h.id, err))
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
