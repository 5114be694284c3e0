package prefix

import "time"

const (
	// Lifetime is how long what was announced is believed: actors tell all of it again within a minute.
	Lifetime = 150 * time.Second
	// mostNames bounds what is kept of one instance's.
	mostNames = 2048
	// pairBytes is about what one name of one instance takes.
	pairBytes = 160
)

// An Index has which instances hold which beginnings. Its owner's lock guards it, and the Holders
// in it.
type Index struct {
	held  map[uint64][]entry
	pairs int
	most  int
	gen   uint64 // of the last Expect
}

type entry struct {
	by     *Holder
	tokens int32
	heard  time.Time
}

// A Holder is one instance as an Index sees it. Its zero value holds nothing, and cannot tell.
type Holder struct {
	names map[uint64]struct{}
	epoch uint64
	tells bool

	gen      uint64
	estimate float64
	told     float64
}

// NewIndex returns an Index that takes about so many bytes at most.
func NewIndex(bytes int) *Index {
	return &Index{held: map[uint64][]entry{}, most: bytes / pairBytes}
}

// News is what an instance's actor announces: names that its engine has come to hold, with the tokens
// of each, or still holds, and names that it holds no more.
type News struct {
	Epoch   uint64 // another one than before voids what was told
	Added   []uint64
	Tokens  []uint32
	Removed []uint64
}

// Tell takes news of h in. What there is no room for is left out.
func (x *Index) Tell(h *Holder, n News, now time.Time) {
	if h.epoch != n.Epoch || !h.tells {
		x.Drop(h)
		h.epoch, h.tells, h.names = n.Epoch, true, map[uint64]struct{}{}
	}
	for _, name := range n.Removed {
		x.remove(h, name)
	}
	for i, name := range n.Added {
		if i < len(n.Tokens) {
			x.add(h, name, int32(min(n.Tokens[i], 1<<30)), now)
		}
	}
}

func (x *Index) add(h *Holder, name uint64, tokens int32, now time.Time) {
	list := x.held[name]
	for i := range list {
		if list[i].by == h {
			list[i].tokens, list[i].heard = tokens, now
			return
		}
	}
	if len(h.names) >= mostNames || x.pairs >= x.most {
		if x.sweep(h, now); len(h.names) >= mostNames || x.pairs >= x.most {
			return
		}
	}
	h.names[name] = struct{}{}
	x.pairs++
	x.held[name] = append(list, entry{h, tokens, now})
}

// sweep drops what of h's is not believed any more.
func (x *Index) sweep(h *Holder, now time.Time) {
	for name := range h.names {
		for _, e := range x.held[name] {
			if e.by == h && now.Sub(e.heard) > Lifetime {
				x.remove(h, name)
				break
			}
		}
	}
}

func (x *Index) remove(h *Holder, name uint64) {
	if _, ok := h.names[name]; !ok {
		return
	}
	delete(h.names, name)
	x.pairs--
	list := x.held[name]
	for i := range list {
		if list[i].by == h {
			last := len(list) - 1
			list[i], list[last] = list[last], entry{}
			list = list[:last]
			break
		}
	}
	if len(list) == 0 {
		delete(x.held, name)
	} else {
		x.held[name] = list
	}
}

// Drop forgets what h holds, and that it can tell.
func (x *Index) Drop(h *Holder) {
	for name := range h.names {
		x.remove(h, name)
	}
	*h = Holder{gen: h.gen}
}

// Len is how many names of instances there are.
func (x *Index) Len() int { return x.pairs }

// Expect notes with every holder how much of p it has. The number that it returns is for Cached, and
// holds until the next call. Nil stands for a prompt without names.
func (x *Index) Expect(p *Prompt, now time.Time) uint64 {
	x.gen++
	if p == nil {
		return x.gen
	}
	for i := p.n - 1; i >= 0; i-- { // the longest first
		for _, e := range x.held[p.names[i]] {
			if e.by.gen != x.gen && now.Sub(e.heard) <= Lifetime {
				e.by.gen, e.by.estimate, e.by.told = x.gen, float64(p.tokens[i]), float64(e.tokens)
			}
		}
	}
	return x.gen
}

// Cached is how many tokens of the prompt of that Expect h is expected to have, in the measure of the
// Prompt's own estimates: those of its longest beginning that h holds.
func (h *Holder) Cached(gen uint64) float64 {
	if h.gen != gen {
		return 0
	}
	return h.estimate
}

// Told is the same in tokens of the engine's, as it was announced.
func (h *Holder) Told(gen uint64) float64 {
	if h.gen != gen {
		return 0
	}
	return h.told
}

// Tells reports whether the instance's actor announces what its engine holds.
func (h *Holder) Tells() bool { return h.tells }
