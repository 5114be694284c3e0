package answers

// An entry is one answer that is kept. It is in the ring of its segment and in the ring
// of all by age.
type entry struct {
	key   Key
	hash  uint64
	of    *Answer
	size  int
	in    *ring
	links [2]link
}

type link struct{ before, after *entry }

// Which of an entry's links a ring uses.
const (
	byUse = iota
	byAge
)

// A ring is a list of entries, the newest first.
type ring struct {
	which int
	root  entry // its links close the ring
	bytes int
	n     int
}

func newRing(which int) *ring {
	r := &ring{which: which}
	r.root.links[which] = link{&r.root, &r.root}
	return r
}

func (r *ring) push(e *entry) {
	root := &r.root
	first := root.links[r.which].after
	e.links[r.which] = link{root, first}
	root.links[r.which].after = e
	first.links[r.which].before = e
	r.bytes += e.size
	r.n++
}

func (r *ring) drop(e *entry) {
	l := e.links[r.which]
	l.before.links[r.which].after = l.after
	l.after.links[r.which].before = l.before
	e.links[r.which] = link{}
	r.bytes -= e.size
	r.n--
}

// last is the oldest; nil: there is none.
func (r *ring) last() *entry { return r.before(&r.root) }

// before is the one that is next newer than e; nil: there is none.
func (r *ring) before(e *entry) *entry {
	if b := e.links[r.which].before; b != &r.root {
		return b
	}
	return nil
}
