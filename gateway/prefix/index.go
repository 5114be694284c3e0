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
	by *Holder
	fact
}

// A fact is what was announced of a name.
type fact struct {
	tokens int32
	heard  time.Time
}

// A Holder is one instance as an Index sees it. Its zero value holds nothing, and cannot tell.
type Holder struct {
	Owner any // the instance, for its owner alone
	names map[uint64]fact
	epoch uint64
	tells bool

	gen  uint64 // of the Expect that noted what follows
	most int    // of the prompt's beginnings that are held, the longest
	told int32  // its tokens
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
		h.epoch, h.tells, h.names = n.Epoch, true, map[uint64]fact{}
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
	if _, ok := h.names[name]; ok {
		for i := range list {
			if list[i].by == h {
				list[i].fact = fact{tokens, now}
			}
		}
		h.names[name] = fact{tokens, now}
		return
	}
	if len(h.names) >= mostNames || x.pairs >= x.most {
		if x.sweep(h, now); len(h.names) >= mostNames || x.pairs >= x.most {
			return
		}
	}
	h.names[name] = fact{tokens, now}
	x.pairs++
	x.held[name] = append(x.held[name], entry{h, fact{tokens, now}})
}

// sweep drops what of h's is not believed any more.
func (x *Index) sweep(h *Holder, now time.Time) {
	for name, f := range h.names {
		if now.Sub(f.heard) > Lifetime {
			x.remove(h, name)
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
	*h = Holder{Owner: h.Owner, gen: h.gen}
}

// Len is how many names of instances there are.
func (x *Index) Len() int { return x.pairs }

// Tells reports whether the instance's actor announces what its engine holds.
func (h *Holder) Tells() bool { return h.tells }
