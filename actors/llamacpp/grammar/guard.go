package grammar

import (
	"errors"
	"slices"
	"unicode/utf8"
)

// Bounds of what llama.cpp may be made to do for one token. It tries each way in which a grammar can be read one after
// the other, and cannot be interrupted; so the ways are counted before it is asked, which no load of the machine changes.
const (
	maxWidth  = 600     // places of the grammar where the next character may stand
	maxGrowth = 1000    // ways to read the next characters, beyond as many as there are places that they lead to
	ahead     = 6       // characters, about as many as a token has
	maxWork   = 1 << 20 // of the guard itself in a step, in comparisons
	maxStacks = 1 << 15 // kept between two steps
	surveyed  = 64      // characters of a pattern that are tried when a schema is converted
)

// ErrAmbiguous is why a grammar is not given to llama.cpp, or not any longer.
var ErrAmbiguous = errors.New("it can be read in too many ways")

// A Guard follows what llama.cpp's grammar sampler does and tells whether its next step is bounded. It decides nothing
// about what may be written: once it has lost the thread, it allows everything. One goroutine at a time uses it.
type Guard struct {
	flat
	stacks []stack // by number; 0 is the empty one
	ids    map[stackKey]int32
	next   map[int32][]int32 // by stack: where the next character may stand
	now    []int32
	rest   []byte // of a character, from the last piece
	work   int    // of this step
	err    error
}

// A stack is what is to be read: rest, and then what lies below.
type stack struct {
	rest  []element
	below int32
}

type stackKey struct {
	at    *element
	below int32
}

// NewGuard reads a grammar that this package wrote.
func NewGuard(text string) (*Guard, error) {
	f, err := flatten(text)
	if err != nil {
		return nil, err
	}
	g := &Guard{flat: f}
	g.forget()
	g.now = g.reach(g.number([]element{{rule: f.names["root"]}}, 0))
	return g, g.Check()
}

func (g *Guard) forget() {
	g.stacks, g.ids, g.next = make([]stack, 1), map[stackKey]int32{}, map[int32][]int32{}
}

func (g *Guard) number(rest []element, below int32) int32 {
	if len(rest) == 0 {
		return below
	}
	key := stackKey{&rest[0], below}
	id, ok := g.ids[key]
	if !ok {
		id = int32(len(g.stacks))
		g.stacks = append(g.stacks, stack{rest, below})
		g.ids[key] = id
	}
	return id
}

// reach are the stacks with a character on top that a stack leads to without reading one.
func (g *Guard) reach(from int32) []int32 {
	if out, ok := g.next[from]; ok {
		return out
	}
	out, todo, seen := []int32(nil), []int32{from}, map[int32]bool{from: true}
	for len(todo) > 0 {
		if g.spend(8); g.err != nil {
			return nil
		}
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		s := g.stacks[id]
		if id == 0 || s.rest[0].rule < 0 {
			out = append(out, id)
			continue
		}
		below := g.number(s.rest[1:], s.below)
		for _, a := range g.rules[s.rest[0].rule] {
			if n := g.number(a, below); !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	g.next[from] = out
	return out
}

func (g *Guard) spend(n int) {
	if g.work += n; g.work > maxWork {
		g.err = ErrAmbiguous
	}
}

// after is where the next character may stand once a stack has read r; ok: whether it may.
func (g *Guard) after(id int32, r rune) (out []int32, ok bool) {
	s := g.stacks[id]
	if id == 0 || !s.rest[0].takes(r) {
		return nil, false
	}
	return g.reach(g.number(s.rest[1:], s.below)), true
}

func (e element) takes(r rune) bool {
	low, high := 0, len(e.ranges)
	for low < high {
		if mid := (low + high) / 2; e.ranges[mid][1] < r {
			low = mid + 1
		} else {
			high = mid
		}
	}
	in := low < len(e.ranges) && e.ranges[low][0] <= r
	return in != e.not
}

// Check reports ErrAmbiguous where the next step may take llama.cpp too long.
func (g *Guard) Check() error {
	g.work = 0
	if len(g.stacks) > maxStacks {
		g.renew()
	}
	if len(g.now) > maxWidth {
		g.err = ErrAmbiguous
	}
	ways, growth := g.ways(), 0
	for n := 0; n < ahead && len(ways) > 0 && g.err == nil; n++ {
		ways, _ = g.worst(ways)
		all := 0
		for _, w := range ways {
			all += w.n
		}
		if growth += all - len(ways); growth > maxGrowth || len(ways) > maxWidth {
			g.err = ErrAmbiguous
		}
	}
	return g.err
}

// A way is how often a stack is come to.
type way struct {
	id int32
	n  int
}

func (g *Guard) ways() []way {
	ways := make([]way, len(g.now))
	for i, id := range g.now {
		ways[i] = way{id, 1}
	}
	return ways
}

// worst reads the character after which there are the most ways to go on.
func (g *Guard) worst(ways []way) ([]way, rune) {
	most, read := 0, rune(0)
	for _, r := range g.telling(ways) {
		n := 0
		g.spend(len(ways))
		for _, w := range ways {
			if next, ok := g.after(w.id, r); ok {
				n += w.n * len(next)
			}
		}
		if n > most {
			most, read = n, r
		}
		if g.err != nil {
			return nil, 0
		}
	}
	if most == 0 {
		return nil, 0
	}
	var out []way
	at := map[int32]int{}
	for _, w := range ways {
		next, _ := g.after(w.id, read)
		for _, id := range next {
			i, ok := at[id]
			if !ok {
				i = len(out)
				at[id] = i
				out = append(out, way{id: id})
			}
			out[i].n = min(out[i].n+w.n, 1<<20)
		}
	}
	return out, read
}

// telling are the characters with which some stack begins to take what it does not take before them, in their order:
// with one of them the most stacks go on.
func (g *Guard) telling(ways []way) []rune {
	var out []rune
	for _, w := range ways {
		if w.id == 0 {
			continue
		}
		e := g.stacks[w.id].rest[0]
		if e.not {
			out = append(out, 0)
		}
		for _, span := range e.ranges {
			if !e.not {
				out = append(out, span[0])
			} else if span[1] < utf8.MaxRune {
				out = append(out, span[1]+1)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// renew forgets all stacks but those that are in use.
func (g *Guard) renew() {
	old := g.stacks
	g.forget()
	var again func(id int32) int32
	again = func(id int32) int32 {
		if id == 0 {
			return 0
		}
		return g.number(old[id].rest, again(old[id].below))
	}
	for i, id := range g.now {
		g.now[i] = again(id)
	}
}

// Accept goes on behind a piece of text that the grammar has accepted.
func (g *Guard) Accept(piece []byte) {
	text := append(g.rest, piece...)
	for utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		g.read(r)
	}
	g.rest = append([]byte(nil), text...)
}

func (g *Guard) read(r rune) {
	g.work = 0
	var out []int32
	seen := map[int32]bool{}
	for _, id := range g.now {
		next, _ := g.after(id, r)
		for _, n := range next {
			if !seen[n] {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	g.now = out
}

// Follows reports whether what was accepted is the beginning of a text of the grammar.
func (g *Guard) Follows() bool { return len(g.now) > 0 }

// readable tries a rule of strings: whether the ways to read what it allows stay bounded.
func readable(n node) error {
	r := rules{"root": quoted(n)}
	r.complete()
	g, err := NewGuard(r.String())
	for i := 0; i < surveyed && err == nil && len(g.now) > 0; i++ {
		_, c := g.worst(g.ways())
		g.read(c)
		err = g.Check()
	}
	return err
}
