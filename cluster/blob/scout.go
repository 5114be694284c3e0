package blob

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	scouts    = 16          // holders that are asked what they have at a time
	enough    = 8           // holders that have something: the rest are not asked
	lookAgain = time.Second // at those that have not all
)

// scout asks holders what they have: all of them until enough have something, and then,
// until ctx ends, those again that may have more.
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
		for at, h := range p.holders {
			if (round == 0 || at < scouts) && p.wants(h) {
				g.Go(func() error { links[at] = p.look(ctx, h, links[at]); return nil })
			}
		}
		_ = g.Wait()
		p.mu.Lock()
		p.scouted = true
		p.turnLocked()
		p.mu.Unlock()
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
	}
}

// wants tells whether a holder is to be asked what it has.
func (p *pull) wants(h *holder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	given := 0
	for _, h := range p.holders {
		if h.gives() {
			given++
		}
	}
	return h.failed == nil && !h.whole() && (h.chunks != nil || given < enough)
}

// look asks one holder, on the link that it was asked on before, and gives it back.
func (p *pull) look(ctx context.Context, h *holder, l *link) *link {
	if l == nil {
		c, err := p.f.opts.Dial(ctx, h.id)
		if err != nil {
			p.note(h, nil, err)
			return nil
		}
		l = newLink(ctx, c, p.f.opts.Metrics)
	}
	chunks, err := l.have(p.model)
	p.note(h, chunks, err)
	if said := (*refusal)(nil); err != nil && !errors.As(err, &said) {
		l.close()
		return nil
	}
	return l
}

// note takes down what was heard of a holder.
func (p *pull) note(h *holder, chunks []bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.turnLocked()
	said := (*refusal)(nil)
	switch {
	case err == nil:
		if h.hear(chunks) {
			p.moved = time.Now()
		}
	case errors.Is(err, ErrOlder):
		h.plain = true
	case errors.As(err, &said) && said.said == saidLacks:
		h.chunks, h.lacks = nil, err
	case h.failed == nil:
		h.failed = err
	}
}
