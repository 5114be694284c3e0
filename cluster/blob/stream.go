package blob

import (
	"context"
	"errors"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A stream brings one chunk after the other, by connections of its own.
type stream struct {
	p     *pull
	links map[*holder]*link
	buf   []byte // of a chunk, where a holder is asked by Handler's protocol
}

func (s *stream) run(ctx context.Context) error {
	for {
		h, i, err := s.p.next(ctx)
		if h == nil {
			return err
		}
		if err := s.p.settle(ctx, h, i, s.from(ctx, h, i)); err != nil {
			return err
		}
	}
}

func (s *stream) close() {
	for _, l := range s.links {
		l.close()
	}
}

// from brings chunk i from one holder. What is wrong is asked for once more: a holder
// that finds it wrong on its own disk has its copy mended.
func (s *stream) from(ctx context.Context, h *holder, i int) error {
	length := lengthOf(s.p.model, i)
	for again := false; ; again = true {
		if err := s.p.f.opts.Pace.Wait(ctx, length); err != nil {
			return err
		}
		err := s.ask(ctx, h, i, again)
		if err == nil {
			s.p.progress(length)
			return nil
		}
		if again || spec.CodeOf(err) != spec.CodeModelDamaged {
			return err
		}
		s.p.f.opts.Metrics.Damaged("wire", 1)
		s.p.f.opts.Log.Warn("a chunk came that does not match its digest", "model", s.p.model.Name, "chunk", i, "node", h.id)
	}
}

func (s *stream) ask(ctx context.Context, h *holder, i int, again bool) error {
	if h.plain { // which is settled before a holder is chosen
		return s.plainly(ctx, h, i, again)
	}
	for {
		l, used := s.links[h]
		if !used {
			c, err := s.p.f.opts.Dial(ctx, h.id)
			if err != nil {
				return err
			}
			l = newLink(ctx, c, s.p.f.opts.Metrics)
			s.links[h] = l
		}
		err := l.chunk(s.p.model, i, again, s.p.to)
		if said := (*refusal)(nil); err != nil && !errors.As(err, &said) && spec.CodeOf(err) != spec.CodeModelDamaged {
			l.close()
			delete(s.links, h)
		}
		if !used || !isHungUp(err) { // it may have stood idle for too long, while the pace was waited for
			return err
		}
	}
}

func (s *stream) plainly(ctx context.Context, h *holder, i int, again bool) error {
	if s.buf == nil {
		s.buf = make([]byte, min(uint64(s.p.model.ChunkSize), s.p.model.Size))
	}
	b, err := s.p.f.get(ctx, h.id, s.p.model, i, s.buf[:lengthOf(s.p.model, i)], again)
	if err != nil {
		return err
	}
	err = s.p.to.PutChunk(i, b)
	if err == nil || spec.CodeOf(err) == spec.CodeModelDamaged {
		return err
	}
	return &keeping{err}
}
