package fair

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Unix(1_000_000, 0)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func item(tenant string, p Priority, cost float64, came time.Time) *Item[int] {
	return &Item[int]{Tenant: tenant, Priority: p, Cost: cost, Enqueued: came}
}

// serve takes who is served next.
func serve(q *Queue[int], now time.Time) *Item[int] {
	first := q.First(nil, 1, now)
	if len(first) == 0 {
		return nil
	}
	q.Take(first[0], now)
	return first[0]
}

func TestTheHigherBandIsServedFirst(t *testing.T) {
	var q Queue[int]
	for i, p := range []Priority{Low, Critical, Normal, High, Normal} {
		q.Push(item("a", p, 10, at(float64(i)/10)), at(1))
	}
	var order []Priority
	for it := serve(&q, at(1)); it != nil; it = serve(&q, at(1)) {
		order = append(order, it.Priority)
	}
	if want := []Priority{Critical, High, Normal, Normal, Low}; !slices.Equal(order, want) {
		t.Errorf("served %v, want %v", order, want)
	}
}

// Two tenants that wait all the time have had the same, but for the largest cost of each,
// over every stretch of service.
func TestTwoBackloggedTenantsStayWithinTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		most := map[string]float64{}
		push := func(tenant string) {
			cost := float64(rapid.IntRange(1, 4000).Draw(t, "cost"))
			most[tenant] = max(most[tenant], cost)
			q.Push(item(tenant, Normal, cost, at(0)), at(0))
		}
		flood := rapid.IntRange(2, 12).Draw(t, "flood")
		for range flood {
			push("flood")
		}
		for range rapid.IntRange(0, 20).Draw(t, "alone") { // before the other comes
			serve(&q, at(0))
			push("flood")
		}
		push("calm")
		push("calm") // so that one waits when the other has been served
		had := map[string]float64{}
		var gaps []float64
		for range rapid.IntRange(1, 100).Draw(t, "served") {
			gaps = append(gaps, had["flood"]-had["calm"])
			it := serve(&q, at(0))
			had[it.Tenant] += it.Cost
			push(it.Tenant) // each waits all the time
		}
		bound := 2 * max(most["flood"], most["calm"])
		if spread := slices.Max(gaps) - slices.Min(gaps); spread > bound {
			t.Fatalf("the tenants grew apart by %v, which is more than %v", spread, bound)
		}
	})
}

func TestWhoComesBackHasNotSavedUp(t *testing.T) {
	var q Queue[int]
	for range 50 {
		q.Push(item("busy", Normal, 100, at(0)), at(0))
	}
	for range 40 {
		serve(&q, at(1))
	}
	for range 10 {
		q.Push(item("idle", Normal, 100, at(2)), at(2))
	}
	had := map[string]int{}
	for range 10 {
		had[serve(&q, at(2)).Tenant]++
	}
	if had["idle"] != 5 || had["busy"] != 5 {
		t.Errorf("of ten places %v, want five each", had)
	}
}

// However many of higher priority come, and whoever else waits, everybody is served.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		q.rules = Rules{Patience: time.Second, Every: rapid.IntRange(2, 20).Draw(t, "every")}
		victims := rapid.IntRange(1, 5).Draw(t, "victims")
		for range victims {
			q.Push(item("poor", Low, float64(rapid.IntRange(1, 1000).Draw(t, "cost")), at(0)), at(0))
		}
		for i := range victims * q.every() {
			now := at(2 + float64(i))
			q.Push(item("rich"+strconv.Itoa(i%3), High, 1, now), now)
			q.Push(item("rich", Normal+Priority(i%2), 1, now), now)
			serve(&q, now)
		}
		// Of the bands below the highest, the oldest goes first.
		if left := q.Load(Low).Count; left != 0 {
			t.Fatalf("%d of %d have not been served", left, victims)
		}
	})
}

// First tells what serving one after the other would, and changes nothing; who would be
// served last is who is shed.
func TestFirstIsTheOrderOfService(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		q.rules.Every = rapid.SampledFrom([]int{2, 3, 16}).Draw(t, "every")
		aged := rapid.Bool().Draw(t, "aged")
		fill(t, &q, rapid.IntRange(0, 40).Draw(t, "waiting"), aged)
		now := at(5)
		if aged {
			now = at(9)
		}
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			serve(&q, now)
		}
		all := q.First(nil, q.Len()+1, now)
		if again := q.First(nil, q.Len(), now); !slices.Equal(all, again) || len(all) != q.Len() {
			t.Fatal("First has changed the order")
		}
		n := rapid.IntRange(0, 9).Draw(t, "n")
		if some := q.First(nil, n, now); !slices.Equal(some, all[:min(n, len(all))]) {
			t.Fatal("the first few are not the first of all")
		}
		if !aged && len(all) > 0 && rapid.Bool().Draw(t, "shed") {
			if out := q.Shed(); out != all[len(all)-1] {
				t.Fatalf("shed %+v, the last is %+v", out, all[len(all)-1])
			}
			all = all[:len(all)-1]
		}
		for i, want := range all {
			if got := serve(&q, now); got != want {
				t.Fatalf("the place of number %d was given to %+v, not %+v", i, got, want)
			}
		}
	})
}

// fill has n wait that came within 4 s, or within 8 if some may have lost patience.
func fill(t *rapid.T, q *Queue[int], n int, aged bool) {
	span := 4
	if aged {
		span = 8
	}
	for i := range n {
		came := at(float64(rapid.IntRange(0, span).Draw(t, "came")))
		it := item(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "tenant"), Priority(rapid.IntRange(-1, 2).Draw(t, "priority")),
			float64(rapid.IntRange(1, 50).Draw(t, "cost")), came)
		it.Value = i
		q.Push(it, came)
	}
}

// What a queue tells of who waits is what a list of them would tell.
func TestTheLoadIsThatOfWhoWaits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		var waiting []*Item[int]
		drop := func(it *Item[int]) {
			waiting = slices.DeleteFunc(waiting, func(o *Item[int]) bool { return o == it })
		}
		now := at(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
				it := item(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tenant"), Priority(rapid.IntRange(-3, 4).Draw(t, "priority")),
					float64(rapid.IntRange(-1, 100).Draw(t, "cost")), now.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "since"))*time.Second))
				if rapid.Bool().Draw(t, "hurried") {
					it.Deadline = now.Add(time.Second)
				}
				q.Push(it, now)
				waiting = append(waiting, it)
			},
			"take": func(t *rapid.T) {
				if it := serve(&q, now); it != nil {
					drop(it)
					if rapid.Bool().Draw(t, "back") {
						q.Back(it, now)
						waiting = append(waiting, it)
					}
				}
			},
			"remove": func(t *rapid.T) {
				if len(waiting) > 0 {
					it := rapid.SampledFrom(waiting).Draw(t, "who")
					drop(it)
					if !q.Remove(it) || q.Remove(it) || it.Queued() {
						t.Fatal("it was not removed once")
					}
				}
			},
			"charge": func(t *rapid.T) {
				q.Charge(rapid.SampledFrom([]string{"a", "b", "e"}).Draw(t, "tenant"), Normal, float64(rapid.IntRange(-50, 50).Draw(t, "units")))
			},
			"shed": func(*rapid.T) {
				if it := q.Shed(); it != nil {
					drop(it)
				}
			},
			"expire": func(t *rapid.T) {
				for _, it := range q.Expire(nil, now) {
					if now.Before(it.Deadline) || it.Deadline.IsZero() {
						t.Fatal("expired before its deadline")
					}
					drop(it)
				}
			},
			"": func(t *rapid.T) { compare(t, &q, waiting) },
		})
	})
}

func compare(t *rapid.T, q *Queue[int], waiting []*Item[int]) {
	if q.Len() != len(waiting) {
		t.Fatalf("%d wait, and %d are told", len(waiting), q.Len())
	}
	for _, p := range Priorities() {
		var want Load
		for _, it := range waiting {
			if it.Priority.Band() != p.Band() {
				continue
			}
			want.Count++
			want.Cost += it.Cost
			if want.Oldest.IsZero() || it.Enqueued.Before(want.Oldest) {
				want.Oldest = it.Enqueued
			}
		}
		got := q.Load(p)
		if got.Count != want.Count || math.Abs(got.Cost-want.Cost) > 1e-6 || !got.Oldest.Equal(want.Oldest) {
			t.Fatalf("%v: %+v, want %+v", p, got, want)
		}
	}
	for i := range q.bands {
		b := &q.bands[i]
		for n, l := range b.heap {
			if l.at != n+1 || l.next != l.first || l.ahead != l.counter || n > 0 && l.served(b.heap[(n+1)/2-1]) {
				t.Fatal("the heap is not one")
			}
		}
	}
}

func TestCountersOfThoseWhoLeftAreForgotten(t *testing.T) {
	var q Queue[int]
	for i := range 10_000 {
		q.Push(item("tenant"+strconv.Itoa(i), Normal, float64(1+i%7), at(0)), at(0))
		serve(&q, at(0))
		q.Charge("other"+strconv.Itoa(i), Normal, 5)
	}
	q.Push(item("last", Normal, 1, at(0)), at(0))
	serve(&q, at(0))
	if n := len(q.bands[Normal.Band()].lanes); n > 2*keepIdle {
		t.Errorf("%d tenants are remembered", n)
	}
}

func TestTheWaitIsByThePace(t *testing.T) {
	var q Queue[int]
	if _, ok := q.Wait("a", Normal, at(0)); ok {
		t.Error("a pace is told of nothing")
	}
	for range 30 {
		q.Push(item("a", Normal, 100, at(0)), at(0))
	}
	for i := range 10 {
		serve(&q, at(float64(i+1)/2)) // 200 a second
	}
	near := func(what string, p Priority, tenant string, want float64) {
		t.Helper()
		got, ok := q.Wait(tenant, p, at(5))
		if !ok || math.Abs(got.Seconds()-want) > .2*want+.01 {
			t.Errorf("%s: waits %v, want about %v s", what, got, want)
		}
	}
	near("of the tenant", Normal, "a", 10)
	near("of another", Normal, "b", 0)
	near("of a lower band", Low, "b", 10)
	near("of a higher band", High, "a", 0)
	if all, ok := q.Drained(at(25)); !ok || all < 30*time.Second {
		t.Errorf("after 20 s in which nobody was served the rest is told to take %v", all)
	}
}

func TestPriorities(t *testing.T) {
	for _, p := range Priorities() {
		if back, ok := ParsePriority(p.String()); !ok || back != p {
			t.Errorf("%v is read as %v", p, back)
		}
	}
	if _, ok := ParsePriority("urgent"); ok {
		t.Error("what is no priority is read as one")
	}
	if Cost(100, 40, 10) != 80 || Cost(1, 2, -1) != 0 {
		t.Error("the cost is not input less cached plus twice the output")
	}
}

func BenchmarkPushAndTake(b *testing.B) {
	for _, tenants := range []int{1, 16, 256} {
		b.Run(strconv.Itoa(tenants), func(b *testing.B) {
			var q Queue[int]
			items := make([]Item[int], 257)
			for i := range items {
				items[i] = Item[int]{Tenant: "tenant" + strconv.Itoa(i%tenants), Priority: Priority(i % 3), Cost: float64(100 + i), Enqueued: at(float64(i))}
				if i > 0 {
					q.Push(&items[i], at(0))
				}
			}
			spare := &items[0]
			var dst []*Item[int]
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				spare.Enqueued = at(300).Add(time.Duration(i))
				q.Push(spare, at(300))
				dst = q.First(dst[:0], 1, at(300))
				spare = dst[0]
				q.Take(spare, at(300))
			}
		})
	}
}

func BenchmarkFirstEight(b *testing.B) {
	var q Queue[int]
	for i := range 256 {
		q.Push(item("tenant"+strconv.Itoa(i%16), Priority(i%3), float64(100+i), at(float64(i))), at(0))
	}
	dst := make([]*Item[int], 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		dst = q.First(dst[:0], 8, at(300))
	}
}
