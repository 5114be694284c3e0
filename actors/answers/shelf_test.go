package answers

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func keyOf(n uint64) Key {
	k := Key{Tenant: "acme", Deployment: "d", Version: 1}
	binary.BigEndian.PutUint64(k.Sum[:], n*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(k.Sum[8:], n)
	return k
}

func answerOf(size int, at time.Time) *Answer {
	return &Answer{ContentType: "application/json", Body: make([]byte, size), At: at}
}

// holds checks what is true of a shelf at every moment.
func (s *shelf) holds(t interface{ Fatalf(string, ...any) }) {
	sum := 0
	for k, e := range s.by {
		if e.key != k || e.in == nil {
			t.Fatalf("entry %v stands under %v", e.key, k)
		}
		sum += e.size
	}
	switch {
	case sum != s.used() || s.window.bytes+s.main() != sum:
		t.Fatalf("entries have %d bytes, rings %d, and %d are told", sum, s.window.bytes+s.main(), s.used())
	case sum > s.limit:
		t.Fatalf("%d bytes of %d are used", sum, s.limit)
	case s.window.bytes > s.windowLimit() || s.main() > s.mainLimit() || s.protected.bytes > s.mainLimit()/5*4:
		t.Fatalf("segments of %d, %d and %d bytes of %d", s.window.bytes, s.probation.bytes, s.protected.bytes, s.limit)
	case s.window.n+s.probation.n+s.protected.n != len(s.by) || s.born.n != len(s.by) || s.total.bytes != sum:
		t.Fatalf("%d entries, %d in segments, %d by age, %d bytes told", len(s.by), s.window.n+s.probation.n+s.protected.n, s.born.n, s.total.bytes)
	}
}

// TestAShelfKeepsItsBound draws what is asked, put, resized and aged.
func TestAShelfKeepsItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		s := newShelf(64<<10, &account{metrics: NewMetrics(nil)})
		s.ttl = time.Minute
		sizes := rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(0, 80<<10))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := keyOf(rapid.Uint64Range(0, 60).Draw(t, "key"))
			k.Version = rapid.Uint64Range(1, 3).Draw(t, "version")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				s.resize(rapid.Uint64Range(0, 96<<10).Draw(t, "bytes"))
			case 1:
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "later")) * time.Second)
				s.expire(now)
				for _, e := range s.by {
					if now.Sub(e.of.At) >= s.ttl {
						t.Fatalf("one that is %s old is kept", now.Sub(e.of.At))
					}
				}
			case 2:
				s.bind(min(s.own, s.used()+rapid.IntRange(0, 4<<10).Draw(t, "room")))
				s.holds(t)
				s.put(k, answerOf(sizes.Draw(t, "size"), now))
				s.holds(t)
				s.bind(s.own)
			case 3, 4, 5:
				s.put(k, answerOf(sizes.Draw(t, "size"), now))
			case 6:
				s.shed()
			default:
				if e := s.find(&k, now); e != nil && (e.key != k || now.Sub(e.of.At) >= s.ttl) {
					t.Fatalf("%v was found for %v", e.key, k)
				}
			}
			s.holds(t)
		}
	})
}

// TestWhatIsAskedForStays: one-off requests do not push out what is asked for again and
// again, be they many more.
func TestWhatIsAskedForStays(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := newShelf(1<<20, &account{metrics: NewMetrics(nil)})
	ask := func(n uint64) bool {
		k := keyOf(n)
		if s.find(&k, now) != nil {
			return true
		}
		s.put(k, answerOf(1000, now))
		return false
	}
	random := rand.New(rand.NewPCG(1, 2))
	hits, asked := 0, 0
	for i := range 200_000 {
		if i%4 == 0 { // of 300 that fit easily
			if ask(uint64(random.IntN(300))); i > 50_000 {
				asked++
			}
			continue
		}
		ask(uint64(1000 + i))
	}
	for n := range uint64(300) {
		if k := keyOf(n); s.find(&k, now) != nil {
			hits++
		}
	}
	if hits < 290 {
		t.Errorf("%d of 300 that are asked for again and again are kept among one-offs", hits)
	}
	s.holds(t)
}

// TestAMillionRequestsAreBounded is one of many deployments' answers too.
func TestAMillionRequestsAreBounded(t *testing.T) {
	const bound = 4 << 20
	now := time.Unix(1e9, 0)
	c := New(Config{Bytes: bound, Now: func() time.Time { return now }})
	random := rand.New(rand.NewPCG(3, 4))
	body := make([]byte, 8<<10)
	most, count := 0, 1_000_000
	if raceEnabled || testing.Short() {
		count = 50_000
	}
	for i := range count {
		k := keyOf(uint64(i))
		k.Deployment = fmt.Sprint("d", i%7)
		found := c.Ask(&Request{Key: k, TTL: time.Hour, MaxBytes: 1 << 20})
		c.land(found.Flight, &Answer{Body: body[:0:random.IntN(8<<10)], At: now})
		c.flying.Done()
		most = max(most, c.mu.total.bytes)
		if c.mu.total.bytes > bound {
			t.Fatalf("%d bytes of %d after %d requests", c.mu.total.bytes, bound, i)
		}
	}
	if most < bound/2 {
		t.Errorf("at most %d of %d bytes were used", most, bound)
	}
	if len(c.mu.flights) > 0 {
		t.Errorf("%d flights are left", len(c.mu.flights))
	}
}

func TestASketchCounts(t *testing.T) {
	s := newSketch(1 << 20)
	for n := range uint64(20) {
		k := keyOf(n)
		for range n {
			s.add(k.hash())
		}
	}
	for n := range uint64(20) {
		k := keyOf(n)
		if got := s.count(k.hash()); got < int(min(n, most)) || got > int(n)+2 {
			t.Errorf("one of %d is counted as %d", n, got)
		}
	}
	s.halve()
	if k := keyOf(14); s.count(k.hash()) < 7 || s.count(k.hash()) > 8 {
		t.Errorf("half of 14 is %d", s.count(k.hash()))
	}
}
