package auth

import "hash/maphash"

// An entry is what an index holds: a pointer, to something with an id.
type entry interface {
	comparable
	id() string
}

const (
	fanBits = 6
	fan     = 1 << fanBits
	least   = 4 // slots of a leaf that has any
)

// An index finds entries by id. It is a tree of three levels, in which with and
// without copy one path: 64 pointers, 64 leaves, and the slots of one leaf, which
// at a million entries are 512. An index that others have is never changed.
type index[T entry] struct {
	n        int
	branches [fan]*branch[T]
}

type branch[T entry] struct{ leaves [fan]leaf[T] }

// A leaf is a hash table with linear probing, at most three quarters full.
type leaf[T entry] struct {
	n     int
	slots []slot[T] // a power of two, or none
}

type slot[T entry] struct {
	hash  uint64
	entry T // the zero value: free
}

var seed = maphash.MakeSeed()

func hashOf(id string) uint64 { return maphash.String(seed, id) }

// get returns the zero value where there is none. It allocates nothing.
func (x *index[T]) get(id string) (found T) {
	h := hashOf(id)
	b := x.branches[h>>(64-fanBits)]
	if b == nil {
		return found
	}
	l := &b.leaves[h>>(64-2*fanBits)%fan]
	return l.get(h, id)
}

func (l *leaf[T]) get(h uint64, id string) (none T) {
	if len(l.slots) == 0 {
		return none
	}
	mask := uint64(len(l.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &l.slots[i]
		if s.entry == none || s.hash == h && s.entry.id() == id {
			return s.entry
		}
	}
}

// put adds or replaces an entry in place: nobody else has the index yet.
func (x *index[T]) put(e T) {
	h := hashOf(e.id())
	b := &x.branches[h>>(64-fanBits)]
	if *b == nil {
		*b = new(branch[T])
	}
	l := &(*b).leaves[h>>(64-2*fanBits)%fan]
	before := l.n
	if 4*(l.n+1) > 3*len(l.slots) {
		l.resize(max(least, 2*len(l.slots)))
	}
	l.put(h, e)
	x.n += l.n - before
}

func (l *leaf[T]) put(h uint64, e T) {
	var none T
	mask := uint64(len(l.slots) - 1)
	i := h & mask
	for ; l.slots[i].entry != none; i = (i + 1) & mask {
		if l.slots[i].hash == h && l.slots[i].entry.id() == e.id() {
			l.slots[i].entry = e
			return
		}
	}
	l.slots[i] = slot[T]{h, e}
	l.n++
}

// resize lays the slots out anew.
func (l *leaf[T]) resize(slots int) {
	var none T
	old := l.slots
	l.slots, l.n = make([]slot[T], slots), 0
	for _, s := range old {
		if s.entry != none {
			l.put(s.hash, s.entry)
		}
	}
}

// own returns a copy of x in which the leaf for h may be changed in place.
func (x *index[T]) own(h uint64) (*index[T], *leaf[T]) {
	next := *x
	b := new(branch[T])
	if old := next.branches[h>>(64-fanBits)]; old != nil {
		*b = *old
	}
	next.branches[h>>(64-fanBits)] = b
	l := &b.leaves[h>>(64-2*fanBits)%fan]
	l.slots = append([]slot[T](nil), l.slots...)
	return &next, l
}

// with returns an index that has e, too, in place of one of the same id.
func (x *index[T]) with(e T) *index[T] {
	next, _ := x.own(hashOf(e.id()))
	next.put(e)
	return next
}

// without returns an index that lacks the entry of that id.
func (x *index[T]) without(id string) *index[T] {
	var none T
	if x.get(id) == none {
		return x
	}
	h := hashOf(id)
	next, l := x.own(h)
	for i := range l.slots {
		if s := &l.slots[i]; s.entry != none && s.hash == h && s.entry.id() == id {
			s.entry = none
			break
		}
	}
	size := len(l.slots)
	for size > least && 4*(l.n-1) <= size {
		size /= 2
	}
	l.resize(size) // what had been pushed on by the one removed must be found again
	next.n--
	return next
}
