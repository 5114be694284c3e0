package announce

import (
	"hash/fnv"
	"slices"

	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	// MaxNames bounds what is told of one engine: of more, those that it came to hold last.
	MaxNames = 1024
	// times that each change is told.
	times = 2
)

// A Mark is a name and the tokens of the beginning that it names.
type Mark struct {
	Name   uint64
	Tokens uint32
}

// held is a name that is held, and its place in the order.
type held struct {
	tokens uint32
	at     int
}

// A Book is what one engine holds. Its zero value is empty.
type Book struct {
	epoch   uint64
	fresh   int // how often the epoch is still to be told, be there names or not
	held    map[uint64]held
	order   []uint64       // as they came to be held; some are held no more, or came again later
	news    []uint64       // names to be told, in order
	left    map[uint64]int // how often each of news is still to be told
	refresh int            // in order: what is told again next
}

// Epoch is the number for an engine's own epoch.
func Epoch(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// Update takes in what has changed since the last time. reset: added is everything.
func (b *Book) Update(epoch uint64, reset bool, added []Mark, removed []uint64) {
	switch {
	case b.held == nil || epoch != b.epoch:
		*b = Book{epoch: epoch, fresh: times, held: map[uint64]held{}, left: map[uint64]int{}}
	case reset:
		had := b.held
		b.held, b.order = map[uint64]held{}, nil
		for name := range had {
			b.say(name)
		}
	}
	for _, name := range removed {
		if _, ok := b.held[name]; ok {
			delete(b.held, name)
			b.say(name)
		}
	}
	for _, m := range added {
		h, ok := b.held[m.Name]
		if !ok {
			h.at, b.order = len(b.order), append(b.order, m.Name)
		}
		if !ok || h.tokens != m.Tokens {
			h.tokens = m.Tokens
			b.held[m.Name] = h
			b.say(m.Name)
		}
	}
	b.bound()
}

func (b *Book) say(name uint64) {
	if b.left[name] == 0 {
		b.news = append(b.news, name)
	}
	b.left[name] = times
}

// bound forgets the oldest of too many names, and what of order is held no more.
func (b *Book) bound() {
	if len(b.held) <= MaxNames && len(b.order) <= 2*MaxNames {
		return
	}
	live := make([]uint64, 0, len(b.held))
	for at, name := range b.order { // the last time that it came counts
		if h, ok := b.held[name]; ok && h.at == at {
			live = append(live, name)
		}
	}
	for len(live) > MaxNames { // the engine holds them still: they are believed until they are old
		delete(b.held, live[0])
		live = live[1:]
	}
	for at, name := range live {
		b.held[name] = held{b.held[name].tokens, at}
	}
	b.order, b.refresh = live, 0
}

// Len is how many names are told.
func (b *Book) Len() int { return len(b.held) }

// Pending tells whether there is news.
func (b *Book) Pending() bool { return len(b.news) > 0 || b.fresh > 0 }

// Next is what to tell now of news, at most so many bytes with what surrounds it; nil: there is none.
func (b *Book) Next(instance string, room int) *wire.PrefixNews {
	if !b.Pending() {
		return nil
	}
	b.fresh = max(b.fresh-1, 0)
	n, left := &wire.PrefixNews{Instance: instance, Epoch: b.epoch}, room-frame-len(instance)
	told := 0
	var again []uint64
	for _, name := range b.news {
		h, ok := b.held[name]
		if left -= pair; left < 0 {
			break
		}
		if told++; ok {
			n.Added, n.Tokens = append(n.Added, name), append(n.Tokens, h.tokens)
		} else {
			n.Removed = append(n.Removed, name)
		}
		if b.left[name]--; b.left[name] > 0 {
			again = append(again, name)
		} else {
			delete(b.left, name)
		}
	}
	b.news = append(slices.Clone(b.news[told:]), again...)
	return n
}

// Again is the next part of all that is held, which it goes round and round; nil: nothing is.
func (b *Book) Again(instance string, room int) *wire.PrefixNews {
	if len(b.held) == 0 {
		return nil
	}
	n, left := &wire.PrefixNews{Instance: instance, Epoch: b.epoch}, room-frame-len(instance)
	for range b.order {
		if b.refresh >= len(b.order) {
			b.refresh = 0
		}
		name := b.order[b.refresh]
		if h, ok := b.held[name]; ok && h.at == b.refresh {
			if left -= pair; left < 0 {
				break
			}
			n.Added, n.Tokens = append(n.Added, name), append(n.Tokens, h.tokens)
		}
		b.refresh++
	}
	return n
}

const (
	pair  = 8 + 5 // bytes of a name with its tokens, at most
	frame = 40    // of what surrounds the names, beside the instance
)
