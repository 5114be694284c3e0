package blob

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	scouts    = 16          // holders that are asked what they have at a time
	enough    = 8           // holders that have something that is missing: the rest are not asked
	lookAgain = time.Second // at those that have not all
)

// scout asks holders what they have: all of them until enough have something and one has
// all, and then, until ctx ends, those again that may have more: some at a time, in turn,
// as long as somebody has all.
func (p *pull) scout(ctx context.Context) {
	links := make([]*link, len(p.holders))
	defer func() {
		for _, l := range links {
			if l != nil {
				l.close()
			}
		}
	}()
	for round := 0; ctx.Err() == nil; round++ {
		var g errgroup.Group
		g.SetLimit(scouts)
		again := 0
		for n := range p.holders {
			at := (n + round*scouts) % len(p.holders)
			h := p.holders[at]
			wants, some := p.wants(h)
			if !wants || some && again == scouts {
				continue
			}
			if some {
				again++
			}
			g.Go(func() error { links[at] = p.look(ctx, h, links[at]); return nil })
		}
		_ = g.Wait()
		p.mu.Lock()
		if !p.scouted {
			p.scouted, p.moved = true, time.Now()
		}
		p.turnLocked()
		p.mu.Unlock()
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
	}
}

// wants tells whether a holder is to be asked what it has, and whether it is enough to
// ask some of these at a time.
func (p *pull) wants(h *holder) (wants, some bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	given, whole := 0, false
	for _, h := range p.holders {
		if h.gives() && (h.plain || h.helps) {
			given++
			whole = whole || h.whole()
		}
	}
	wants = h.failed == nil && !h.whole() && (h.chunks != nil || given < enough || !whole)
	return wants, whole && !h.fresh()
}

// look asks one holder, on the link that it was asked on before, and gives it back.
func (p *pull) look(ctx context.Context, h *holder, l *link) *link {
	for {
		used := l != nil
		if !used {
			c, err := p.f.opts.Dial(ctx, h.id)
			if err != nil {
				p.note(h, nil, err)
				return nil
			}
			l = newLink(ctx, c, p.f.opts.Metrics)
		}
		chunks, err := l.have(p.model)
		if said := (*refusal)(nil); err != nil && !errors.As(err, &said) {
			l.close()
			l = nil
		}
		if !used || !isHungUp(err) { // it may have stood idle for too long
			p.note(h, chunks, err)
			return l
		}
	}
}

// note takes down what was heard of a holder.
func (p *pull) note(h *holder, chunks []bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.turnLocked()
	said := (*refusal)(nil)
	switch {
	case err == nil:
		if h.hear(chunks, p.came) {
			p.moved = time.Now()
		}
	case errors.Is(err, ErrOlder):
		h.plain = true
	case errors.As(err, &said) && said.said == saidLacks, isHungUp(err):
		h.chunks, h.lacks = nil, err
	case h.failed == nil:
		h.failed = err
	}
}
