package auth

import (
	"hash/maphash"
	"unsafe"
)

const (
	fanBits = 6
	fan     = 1 << fanBits
	least   = 4 // slots of a leaf that has any
)

// An index finds entries by id. It is a tree of three levels, in which with and
// without copy one path: 64 pointers, 64 leaves, and the slots of one leaf, which
// are 512 at a million entries. An index that readers have is never changed, nor
// is an entry in it.
//
// The two upper levels stay in a CPU's own cache, and a leaf holds its entries
// themselves: finding one among a million waits for memory once.
type index[T any] struct {
	idOf     func(*T) string
	n        int
	branches [fan]*branch[T]
}

type branch[T any] struct{ leaves [fan]leaf[T] }

// A leaf is a hash table with linear probing, at most three quarters full.
type leaf[T any] struct {
	n     int
	slots []slot[T] // a power of two, or none
}

type slot[T any] struct {
	hash  uint64 // 0: free
	entry T
}

var seed = maphash.MakeSeed()

// hashOf is never 0: the bit that is always set says neither leaf nor slot.
func hashOf(id string) uint64 { return maphash.String(seed, id) | 1<<40 }

// leaf is where an entry of that hash stands; nil: nowhere.
func (x *index[T]) leaf(h uint64) *leaf[T] {
	b := x.branches[h>>(64-fanBits)]
	if b == nil {
		return nil
	}
	return &b.leaves[h>>(64-2*fanBits)%fan]
}

// first is the slot in which looking for a hash begins, and the mask of the slots' places.
func (l *leaf[T]) first(h uint64) (at, mask uint64) {
	mask = uint64(len(l.slots) - 1)
	return h & mask, mask
}

// get returns nil where there is none. It allocates nothing.
func (x *index[T]) get(id string) *T {
	h := hashOf(id)
	l := x.leaf(h)
	if l == nil || len(l.slots) == 0 {
		return nil
	}
	if s := x.find(l, h, id); s.hash != 0 {
		return &s.entry
	}
	return nil
}

// prefetch asks memory for where looking for a hash begins, and waits for nothing.
// The leaf may be nil.
func (l *leaf[T]) prefetch(h uint64) {
	if l == nil || len(l.slots) == 0 {
		return
	}
	at, _ := l.first(h)
	prefetch(unsafe.Pointer(&l.slots[at]))
}

// probable finds the entry whose id has that hash. The hash has 64 bits and a seed
// of this process; what is found is still to be proven, by a key's secret. So the
// id's text, which is elsewhere in memory, is not read. The leaf may be nil.
func (l *leaf[T]) probable(h uint64) *T {
	if l == nil || len(l.slots) == 0 {
		return nil
	}
	for i, mask := l.first(h); ; i = (i + 1) & mask {
		switch at := &l.slots[i]; at.hash {
		case h:
			return &at.entry
		case 0:
			return nil
		}
	}
}

// find returns the slot of that id, or the free one where it would be.
func (x *index[T]) find(l *leaf[T], h uint64, id string) *slot[T] {
	i, mask := l.first(h)
	for {
		s := &l.slots[i]
		if s.hash == 0 || s.hash == h && x.idOf(&s.entry) == id {
			return s
		}
		i = (i + 1) & mask
	}
}

// put adds or replaces an entry in place: nobody else has the index yet.
func (x *index[T]) put(e T) {
	id := x.idOf(&e)
	h := hashOf(id)
	b := &x.branches[h>>(64-fanBits)]
	if *b == nil {
		*b = new(branch[T])
	}
	l := x.leaf(h)
	if 4*(l.n+1) > 3*len(l.slots) {
		l.resize(max(least, 2*len(l.slots)))
	}
	s := x.find(l, h, id)
	if s.hash == 0 {
		l.n++
		x.n++
	}
	s.hash, s.entry = h, e
}

// resize lays the slots out anew.
func (l *leaf[T]) resize(slots int) {
	old := l.slots
	l.slots = make([]slot[T], slots)
	for i := range old {
		if old[i].hash == 0 {
			continue
		}
		at, mask := l.first(old[i].hash)
		for l.slots[at].hash != 0 {
			at = (at + 1) & mask
		}
		l.slots[at] = old[i]
	}
}

// own returns a copy of x in which the leaf of h may be changed in place.
func (x *index[T]) own(h uint64) (*index[T], *leaf[T]) {
	next := *x
	at := &next.branches[h>>(64-fanBits)]
	b := new(branch[T])
	if *at != nil {
		*b = **at
	}
	*at = b
	l := next.leaf(h)
	l.slots = append(make([]slot[T], 0, len(l.slots)), l.slots...)
	return &next, l
}

// with returns an index that has e, too, in place of one of the same id.
func (x *index[T]) with(e T) *index[T] {
	next, _ := x.own(hashOf(x.idOf(&e)))
	next.put(e)
	return next
}

// without returns an index that lacks the entry of that id.
func (x *index[T]) without(id string) *index[T] {
	if x.get(id) == nil {
		return x
	}
	h := hashOf(id)
	next, l := x.own(h)
	*next.find(l, h, id) = slot[T]{}
	l.n--
	next.n--
	size := len(l.slots)
	for size > least && 4*l.n <= size {
		size /= 2
	}
	l.resize(size) // what the one removed had pushed on must be found again
	return next
}

// ref is get for an index of pointers.
func ref[T any](x *index[*T], id string) *T {
	if at := x.get(id); at != nil {
		return *at
	}
	return nil
}
