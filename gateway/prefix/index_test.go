package prefix

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Unix(1e9, 0)

func prompt(names ...uint64) *Prompt {
	p := new(Prompt)
	for i, n := range names {
		p.Add(n, 100*(i+1))
	}
	return p
}

// TestIndexModel compares with sets of names, in any order of news, drops and times.
func TestIndexModel(t *testing.T) {
	type fact struct {
		tokens float64
		heard  time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		x, now := NewIndex(1<<20), epoch
		holders := make([]Holder, 3)
		known := make([]map[uint64]fact, 3)
		epochs := make([]uint64, 3)
		tells := make([]bool, 3)
		for i := range known {
			known[i] = map[uint64]fact{}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "holder")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				x.Drop(&holders[i])
				known[i], epochs[i], tells[i] = map[uint64]fact{}, 0, false
			case 1:
				now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "s")) * time.Second)
			case 2:
				n := News{Epoch: rapid.Uint64Range(0, 1).Draw(t, "epoch")}
				if n.Epoch != epochs[i] || !tells[i] {
					known[i], epochs[i], tells[i] = map[uint64]fact{}, n.Epoch, true
				}
				for range rapid.IntRange(0, 3).Draw(t, "removed") {
					n.Removed = append(n.Removed, rapid.Uint64Range(1, 6).Draw(t, "r"))
					delete(known[i], n.Removed[len(n.Removed)-1])
				}
				for range rapid.IntRange(0, 3).Draw(t, "added") {
					name, tokens := rapid.Uint64Range(1, 6).Draw(t, "a"), rapid.Uint32Range(1, 99).Draw(t, "tokens")
					n.Added, n.Tokens = append(n.Added, name), append(n.Tokens, tokens)
					known[i][name] = fact{float64(tokens), now}
				}
				x.Tell(&holders[i], n, now)
			}
			p := prompt(rapid.SliceOfNDistinct(rapid.Uint64Range(1, 6), 0, 4, rapid.ID[uint64]).Draw(t, "prompt")...)
			gen := x.Expect(p, now)
			for i := range holders {
				var told, estimate float64
				for at, name := range p.Names() {
					if f, ok := known[i][name]; ok && now.Sub(f.heard) <= Lifetime {
						told, estimate = f.tokens, float64(100*(at+1))
					}
				}
				if h := &holders[i]; h.Told(gen) != told || h.Cached(gen) != estimate || h.Tells() != tells[i] {
					t.Fatalf("holder %d: %v of %v, want %v of %v", i, h.Told(gen), h.Cached(gen), told, estimate)
				}
				if holders[i].Cached(gen+1) != 0 {
					t.Fatal("an expectation outlives the next")
				}
			}
		}
	})
}

// TestIndexIsBounded: what one instance tells, and what all do.
func TestIndexIsBounded(t *testing.T) {
	x := NewIndex(3000 * pairBytes)
	var a, b Holder
	tell := func(h *Holder, from, n int, now time.Time) {
		for i := range n {
			x.Tell(h, News{Added: []uint64{uint64(from + i)}, Tokens: []uint32{1}}, now)
		}
	}
	tell(&a, 1, 5000, epoch)
	if len(a.names) != mostNames || x.Len() != mostNames {
		t.Errorf("%d names of one", len(a.names))
	}
	tell(&b, 1, 5000, epoch)
	if x.Len() != 3000 {
		t.Errorf("%d pairs", x.Len())
	}
	later := epoch.Add(Lifetime + time.Second) // what is not told again makes room
	tell(&a, 10000, 100, later)
	if gen := x.Expect(prompt(10050), later); a.Told(gen) != 1 {
		t.Error("there was no room for news")
	}
	x.Drop(&a)
	x.Drop(&b)
	if x.Len() != 0 || len(x.held) != 0 {
		t.Errorf("%d pairs, %d names are left", x.Len(), len(x.held))
	}
}

// TestPrior: two candidates, the same whatever the order, the faster ones more often, and few
// conversations move when a candidate comes.
func TestPrior(t *testing.T) {
	speeds := []float64{4000, 2000, 1000, 1000}
	place := func(opening uint64, n int, reverse bool) (first, second int) {
		x, hs := NewIndex(1<<20), make([]Holder, n)
		var r Prior
		p := prompt(opening)
		p.Opened()
		p.Add(opening+1, 1000)
		p.Answered()
		gen := x.Expect(p, epoch)
		if !r.Begin(p) {
			t.Fatal("no opening")
		}
		for i := range hs {
			if reverse {
				i = n - 1 - i
			}
			r.Meet(&hs[i], Number(string(rune('a'+i))), speeds[i])
		}
		r.Settle(p, gen, 1)
		first, second = -1, -1
		for i := range hs {
			switch c := hs[i].Cached(gen); {
			case math.Abs(c-900) < 1e-6:
				first = i
			case math.Abs(c-400) < 1e-6:
				second = i
			case c != 0:
				t.Fatalf("expects %v", c)
			}
		}
		return first, second
	}
	count, moved := make([]int, 4), 0
	const all = 4000
	for o := uint64(1); o <= all; o++ {
		first, second := place(mix(o), 4, false)
		if again, other := place(mix(o), 4, true); again != first || other != second || first < 0 || second < 0 {
			t.Fatalf("%d, %d in one order and %d, %d in another", first, second, again, other)
		}
		if before, _ := place(mix(o), 3, false); before != first && first != 3 {
			moved++
		}
		count[first]++
	}
	for i, n := range count {
		if share := float64(n) / all; math.Abs(share-speeds[i]/8000) > 0.03 {
			t.Errorf("candidate %d of %v gets %v", i, speeds[i], share)
		}
	}
	if moved != 0 {
		t.Errorf("%d conversations moved between old candidates", moved)
	}
}

// Those that tell are not guessed about, and a first turn only tips the balance.
func TestPriorLeavesThoseThatTell(t *testing.T) {
	x := NewIndex(1 << 20)
	var tells, silent Holder
	x.Tell(&tells, News{}, epoch)
	p := prompt(7)
	p.Opened()
	gen := x.Expect(p, epoch)
	var r Prior
	r.Begin(p)
	r.Meet(&tells, 1, 1000)
	r.Meet(&silent, 2, 1000)
	r.Settle(p, gen, 0.5)
	if tells.Cached(gen) != 0 || math.Abs(silent.Cached(gen)-100*willHave*firstHas*0.5) > 1e-6 || silent.Told(gen) != 0 {
		t.Errorf("%v and %v", tells.Cached(gen), silent.Cached(gen))
	}
	if r.Begin(prompt(7)) || r.Begin(nil) {
		t.Error("guesses without an opening")
	}
}

func fullIndex(instances int) (*Index, []Holder, *Prompt) {
	x, hs := NewIndex(64<<20), make([]Holder, instances)
	for i := range hs {
		n := News{}
		for j := range 500 {
			name := uint64(1000*i + j + 1e6)
			if j == 0 {
				name = 1 // of a prompt that all begin with
			}
			n.Added, n.Tokens = append(n.Added, name), append(n.Tokens, uint32(j+1))
		}
		x.Tell(&hs[i], n, epoch)
	}
	p := new(Prompt)
	p.Add(1, 100)
	p.Opened()
	for i := range 18 {
		p.Add(uint64(1e6+1000*3+1+i), 100*(i+2))
		p.Answered()
	}
	return x, hs, p
}

func TestExpectAllocatesNothing(t *testing.T) {
	x, hs, p := fullIndex(256)
	var r Prior
	if n := testing.AllocsPerRun(100, func() {
		gen := x.Expect(p, epoch)
		r.Begin(p)
		for i := range hs {
			r.Meet(&hs[i], uint64(i), 1000)
		}
		r.Settle(p, gen, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkExpect(b *testing.B) {
	x, hs, p := fullIndex(256)
	b.Run("announced", func(b *testing.B) {
		for b.Loop() {
			x.Expect(p, epoch)
		}
	})
	silent := make([]Holder, len(hs))
	b.Run("prior", func(b *testing.B) {
		var r Prior
		for b.Loop() {
			gen := x.gen
			r.Begin(p)
			for i := range silent {
				r.Meet(&silent[i], uint64(i), 1000)
			}
			r.Settle(p, gen, 1)
		}
	})
}

func FuzzTell(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		x := NewIndex(64 * pairBytes)
		hs := make([]Holder, 2)
		for i := 0; i+4 <= len(b); i += 4 {
			n := News{Epoch: uint64(b[i] & 1), Added: []uint64{uint64(b[i+1]), uint64(b[i+2])}, Tokens: []uint32{uint32(b[i+3])}, Removed: []uint64{uint64(b[i+3])}}
			x.Tell(&hs[b[i]>>1&1], n, epoch.Add(time.Duration(i)*time.Second))
			if sum := len(hs[0].names) + len(hs[1].names); sum != x.Len() || x.Len() > 64 {
				t.Fatalf("%d pairs of %d", x.Len(), sum)
			}
		}
	})
}
