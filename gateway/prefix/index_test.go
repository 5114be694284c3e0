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
			var e, later Expectation
			x.Expect(&e, p, 1, now)
			old := rapid.Bool().Draw(t, "another meanwhile") // then it looks names up
			if old {
				x.Expect(&later, prompt(1, 2), 1, now)
			}
			for i := range holders {
				var told, estimate float64
				for at, name := range p.Names() {
					if f, ok := known[i][name]; ok && now.Sub(f.heard) <= Lifetime {
						told, estimate = f.tokens, float64(100*(at+1))
					}
				}
				if h := &holders[i]; e.Told(h) != told || e.Cached(h) != estimate || h.Tells() != tells[i] {
					t.Fatalf("holder %d: %v of %v, want %v of %v", i, e.Told(h), e.Cached(h), told, estimate)
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
	var e Expectation
	if x.Expect(&e, prompt(10050), 1, later); e.Told(&a) != 1 {
		t.Error("there was no room for news")
	}
	x.Drop(&a)
	x.Drop(&b)
	if x.Len() != 0 || len(x.held) != 0 {
		t.Errorf("%d pairs, %d names are left", x.Len(), len(x.held))
	}
}

// TestGuesses: two candidates, the same whatever the order, the faster ones more often, and few
// conversations move when a candidate comes.
func TestGuesses(t *testing.T) {
	speeds := []float64{4000, 2000, 1000, 1000}
	place := func(opening uint64, n int, reverse bool) (first, second int) {
		x, hs := NewIndex(1<<20), make([]Holder, n)
		var e Expectation
		p := prompt(opening)
		p.Opened()
		p.Add(opening+1, 1000)
		p.Answered()
		x.Expect(&e, p, 1, epoch)
		if !e.Guesses() {
			t.Fatal("no opening")
		}
		for i := range hs {
			if reverse {
				i = n - 1 - i
			}
			e.Meet(&hs[i], Number(string(rune('a'+i))), speeds[i])
		}
		first, second = -1, -1
		for i := range hs {
			switch c := e.Cached(&hs[i]); {
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
func TestGuessesLeaveThoseThatTell(t *testing.T) {
	x := NewIndex(1 << 20)
	var tells, silent Holder
	x.Tell(&tells, News{}, epoch)
	p := prompt(7)
	p.Opened()
	var e Expectation
	x.Expect(&e, p, 0.5, epoch)
	e.Meet(&tells, 1, 1000)
	e.Meet(&silent, 2, 1000)
	if e.Cached(&tells) != 0 || math.Abs(e.Cached(&silent)-100*willHave*firstHas*0.5) > 1e-6 || e.Told(&silent) != 0 {
		t.Errorf("%v and %v", e.Cached(&tells), e.Cached(&silent))
	}
	for _, p := range []*Prompt{prompt(7), nil} {
		if x.Expect(&e, p, 1, epoch); e.Guesses() || e.Cached(&silent) != 0 {
			t.Error("guesses without an opening")
		}
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
	var e Expectation
	silent := make([]Holder, len(hs))
	if n := testing.AllocsPerRun(100, func() {
		x.Expect(&e, p, 1, epoch)
		for i := range hs {
			e.Meet(&silent[i], uint64(i), 1000)
			_ = e.Cached(&hs[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkExpect(b *testing.B) {
	x, hs, p := fullIndex(256)
	var e Expectation
	b.Run("announced", func(b *testing.B) {
		for b.Loop() {
			x.Expect(&e, p, 1, epoch)
			for i := range hs {
				_ = e.Cached(&hs[i])
			}
		}
	})
	silent := make([]Holder, len(hs))
	b.Run("guessed", func(b *testing.B) {
		for b.Loop() {
			e = Expectation{p: p, trust: 1}
			for i := range silent {
				e.Meet(&silent[i], uint64(i), 1000)
			}
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
