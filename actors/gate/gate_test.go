package gate

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

var epoch = time.Unix(1_000_000, 0)

func ms(n int) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		name   string
		f      Facts
		prompt int
		room   bool
	}{
		{"idle", Facts{Slots: 2, PrefillTPS: 10, KVTokens: 100}, 10_000, true},
		{"a slot free", Facts{Slots: 2, Running: 1}, 10, true},
		{"none free", Facts{Slots: 2, Running: 2}, 10, false},
		{"none at all", Facts{}, 10, false},
		{"little to read", Facts{Slots: 9, Running: 1, Unread: 190, PrefillTPS: 1000}, 5000, true},
		{"much to read", Facts{Slots: 9, Running: 1, Unread: 200, PrefillTPS: 1000}, 5, false},
		{"much, of unknown speed", Facts{Slots: 9, Running: 1, Unread: 20_000}, 5, true},
		{"cache nearly full", Facts{Slots: 9, Running: 1, KVUse: 0.8, KVTokens: 1000}, 100, false},
		{"cache with room", Facts{Slots: 9, Running: 1, KVUse: 0.8, KVTokens: 1000}, 99, true},
		{"cache of unknown size", Facts{Slots: 9, Running: 1, KVUse: 0.99}, 99, true},
	} {
		g := Gate{}
		g.Take(&c.f, c.f.Unread, epoch)
		if got := g.Room(&c.f, c.prompt, epoch); got != c.room {
			t.Errorf("%s: room %v", c.name, got)
		}
	}
}

// TestWhatIsReadIsNoBacklog, be it known from the first byte or from the time that has passed.
func TestWhatIsReadIsNoBacklog(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 9, Running: 1, Unread: 1000, PrefillTPS: 1000}
	g.Take(&f, 1000, epoch)
	if b := g.Backlog(&f, ms(0)); b != 1 {
		t.Errorf("backlog %v", b)
	}
	if b := g.Backlog(&f, ms(900)); b < 0.099 || b > 0.101 {
		t.Errorf("backlog %v after most of the time", b)
	}
	f.Unread = 0
	if b := g.Backlog(&f, ms(100)); b != 0 {
		t.Errorf("backlog %v though its first byte has come", b)
	}
}

func wants(gateway string, seq uint64, count int, change ...func(*spec.Reservation)) *spec.Reservation {
	r := &spec.Reservation{Gateway: spec.NodeID(gateway), Instance: "i", Seq: seq, Count: count, Cost: 10}
	for _, c := range change {
		c(r)
	}
	return r
}

func aged(n int) func(*spec.Reservation) {
	return func(r *spec.Reservation) { r.Age = time.Duration(n) * time.Millisecond }
}
func band(n int) func(*spec.Reservation)      { return func(r *spec.Reservation) { r.Priority = n } }
func tenant(n uint32) func(*spec.Reservation) { return func(r *spec.Reservation) { r.Tenant = n } }

// order grants until there is no more to grant, and returns to whom.
func order(g *Gate, f *Facts, now time.Time) (to string) {
	for {
		l, ok := g.Next(f, now)
		if !ok {
			return to
		}
		to += string(l.Gateway)
	}
}

func TestGrantsByPriorityTenantAge(t *testing.T) {
	f := Facts{Slots: 100}
	for _, c := range []struct {
		name string
		told []*spec.Reservation
		want string
	}{
		{"as many as wait", []*spec.Reservation{wants("a", 1, 2)}, "aa"},
		{"the oldest", []*spec.Reservation{wants("a", 1, 1, aged(5)), wants("b", 1, 1, aged(9)), wants("c", 1, 1)}, "bac"},
		{"the most urgent", []*spec.Reservation{wants("a", 1, 1, aged(5)), wants("b", 1, 1, band(1))}, "ba"},
		{"each tenant in turn", []*spec.Reservation{wants("a", 1, 3, tenant(1), aged(9)), wants("b", 1, 2, tenant(2), aged(5))}, "ababa"},
		{"taken back", []*spec.Reservation{wants("a", 1, 3), wants("a", 2, 0)}, ""},
		{"overtaken", []*spec.Reservation{wants("a", 2, 0), wants("a", 1, 3)}, ""},
		{"not told", []*spec.Reservation{wants("a", 0, 3)}, ""},
	} {
		g := Gate{}
		for _, r := range c.told {
			g.Reserve(r, epoch)
		}
		if got := order(&g, &f, epoch); got != c.want {
			t.Errorf("%s: granted %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNobodyStarvesBehindOtherGateways: whose requests are of a lower priority and old is granted a place in
// sixteen, though another gateway has higher ones all the time.
func TestNobodyStarvesBehindOtherGateways(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 1}
	to := map[spec.NodeID]int{}
	for i := range 320 {
		now := ms(100 * i)
		g.Reserve(wants("a", uint64(i+1), 20, band(0), aged(6000)), now)
		g.Reserve(wants("b", uint64(i+1), 20, band(1), aged(7000)), now)
		g.Reserve(wants("c", uint64(i+1), 20, band(0), aged(4000)), now)
		l, ok := g.Next(&f, now)
		if !ok || !g.Bind(l.Gateway, l.ID, now) {
			t.Fatal("nothing was granted")
		}
		to[l.Gateway]++
	}
	if to["a"] != 20 || to["b"] != 300 {
		t.Errorf("granted %v", to)
	}
}

// TestAGatewayWhoseClockWasSetBack is heard once what it said before does not stand any more.
func TestAGatewayWhoseClockWasSetBack(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 9}
	g.Reserve(wants("a", 1_000_000, 0), epoch)
	g.Reserve(wants("a", 900_000, 3), ms(100))
	if got := order(&g, &f, ms(100)); got != "" {
		t.Errorf("granted %q of a message that was overtaken", got)
	}
	later := epoch.Add(spec.ReservationLife + time.Millisecond)
	g.Reserve(wants("a", 900_001, 3), later)
	if got := order(&g, &f, later); got != "aaa" {
		t.Errorf("granted %q after it has started anew", got)
	}
}

func TestALeaseKeepsItsPlace(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 1}
	g.Reserve(wants("a", 1, 2), epoch)
	l, ok := g.Next(&f, epoch)
	if !ok || l.Gateway != "a" || l.Instance != "i" || l.Lasts < spec.LeaseLeast {
		t.Fatalf("granted %+v, %v", l, ok)
	}
	if g.Room(&f, 1, epoch) {
		t.Error("the place was given to another")
	}
	if g.Bind("b", l.ID, epoch) {
		t.Error("another gateway's request took it")
	}
	if !g.Bind("a", l.ID, ms(1)) || g.Bind("a", l.ID, ms(1)) {
		t.Error("it was not taken once")
	}
	if again, ok := g.Next(&f, ms(2)); !ok || again.ID == l.ID {
		t.Error("the other that waits got none")
	}
}

// TestAFrozenGatewayIsGrantedNothing until it speaks again.
func TestAFrozenGatewayIsGrantedNothing(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 1}
	g.Reserve(wants("a", 1, 5), epoch)
	l, _ := g.Next(&f, epoch)
	due, ok := g.Due()
	if !ok || due != epoch.Add(l.Lasts) {
		t.Fatalf("due at %v, %v", due, ok)
	}
	if n := g.Expire(due.Add(-1)); n != 0 {
		t.Errorf("%d expired early", n)
	}
	if n := g.Expire(due); n != 1 || g.Bind("a", l.ID, due) {
		t.Errorf("%d expired", n)
	}
	if l, ok := g.Next(&f, due); ok {
		t.Errorf("granted %+v", l)
	}
	g.Reserve(wants("a", 2, 5), due)
	if _, ok := g.Next(&f, due); !ok {
		t.Error("it spoke, and was granted nothing")
	}
	g.Reserve(wants("b", 1, 1), due)
	g.Reserve(wants("a", 3, 0, func(r *spec.Reservation) { r.Declined = 2 }), due)
	if l, ok := g.Next(&f, due.Add(spec.ReservationLife+1)); ok {
		t.Errorf("granted %+v to one that has not been heard for long", l)
	}
}

// TestRoundTripsAreLearnt, so that leases last for them and the backlog covers them.
func TestRoundTripsAreLearnt(t *testing.T) {
	g, now := Gate{}, epoch
	f := Facts{Slots: 100}
	var lasts time.Duration
	for i := range 50 {
		g.Reserve(wants("a", uint64(i+1), 1), now)
		l, ok := g.Next(&f, now)
		if !ok {
			t.Fatal("nothing granted")
		}
		lasts = l.Lasts
		now = now.Add(80 * time.Millisecond)
		g.Bind("a", l.ID, now)
	}
	if lasts < 235*time.Millisecond || lasts > 245*time.Millisecond {
		t.Errorf("leases last %v", lasts)
	}
	f = Facts{Slots: 100, Running: 1, Unread: 420, PrefillTPS: 1000}
	g.Take(&f, 420, now)
	if !g.Room(&f, 1, now) {
		t.Error("no room with a backlog that the way to the gateway takes")
	}
	if g.Room(&f, 1, now) && g.trip(now.Add(time.Minute)) != 0 {
		t.Error("a round trip of long ago counts")
	}
}

func TestOpens(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 9, Running: 1, Unread: 1000, PrefillTPS: 1000}
	g.Take(&f, 1000, epoch)
	if _, ok := g.Opens(&f, epoch); ok {
		t.Error("it opens for nobody")
	}
	g.Reserve(wants("a", 1, 1), epoch)
	at, ok := g.Opens(&f, epoch)
	if !ok || at.Sub(epoch) < 800*time.Millisecond || at.Sub(epoch) > 802*time.Millisecond {
		t.Errorf("opens at %v, %v", at.Sub(epoch), ok)
	}
	if _, ok := g.Next(&f, at); !ok {
		t.Error("nothing granted then")
	}
}

// TestGateProperties: whatever gateways say, no more places are out than there are, no
// gateway has more than it asked for, and places come back.
func TestGateProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, now := Gate{}, epoch
		f := Facts{Slots: rapid.IntRange(1, 5).Draw(t, "slots"), PrefillTPS: 1000}
		var seq uint64
		type given struct {
			spec.Lease
			until time.Time
		}
		var out []given
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				seq++
				r := wants(fmt.Sprint("g", rapid.IntRange(0, 3).Draw(t, "gateway")), seq, rapid.IntRange(0, 3).Draw(t, "count"))
				r.Tenant = uint32(rapid.IntRange(0, 2).Draw(t, "tenant"))
				g.Reserve(r, now)
			case 1:
				if l, ok := g.Next(&f, now); ok {
					out = append(out, given{l, now.Add(l.Lasts)})
				}
			case 2:
				if len(out) == 0 {
					continue
				}
				l := out[0]
				out = out[1:]
				if g.Bind(l.Gateway, l.ID, now) {
					f.Running++
				}
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "ms")) * time.Millisecond)
				g.Expire(now)
			case 4:
				f.Running = max(0, f.Running-1)
			}
			if f.Running+g.Granted() > f.Slots {
				t.Fatalf("%d run and %d are kept, of %d", f.Running, g.Granted(), f.Slots)
			}
			for _, r := range g.waiting {
				kept := 0
				for _, l := range g.leases {
					if l.gateway == r.Gateway {
						kept++
					}
				}
				if kept != r.out {
					t.Fatalf("%s has %d, and %d are counted", r.Gateway, kept, r.out)
				}
			}
		}
		g.Expire(now.Add(time.Hour))
		if g.Granted() != 0 {
			t.Fatal("places are kept for ever")
		}
	})
}

func TestDecidingAllocatesNothing(t *testing.T) {
	g, f, now := Gate{}, Facts{Slots: 4, PrefillTPS: 1000}, epoch
	seq := uint64(0)
	r := wants("a", 0, 1)
	once := func() {
		seq++
		now = now.Add(time.Millisecond)
		r.Seq = seq
		g.Reserve(r, now)
		l, ok := g.Next(&f, now)
		if !ok || !g.Bind("a", l.ID, now) {
			t.Fatal("nothing granted")
		}
		g.Take(&f, 10, now)
		g.Expire(now)
	}
	once()
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGrant(b *testing.B) {
	g, f, now := Gate{}, Facts{Slots: 32, PrefillTPS: 1000}, epoch
	for i := range 9 {
		g.Reserve(wants(fmt.Sprint("g", i), 1, 1000), now)
	}
	b.ReportAllocs()
	for b.Loop() {
		l, _ := g.Next(&f, now)
		g.Bind(l.Gateway, l.ID, now)
	}
}

// TestHeadroomIsRoundedAsRoomIs: .75 and 150 of 1000 are .9, and .9 less .75 is more than .15.
func TestHeadroomIsRoundedAsRoomIs(t *testing.T) {
	g, f := Gate{}, Facts{Slots: 2, Running: 1, KVUse: .75, KVTokens: 1000}
	if _, _, longest := g.Headroom(&f, epoch); longest != 149 || !g.Room(&f, longest, epoch) || g.Room(&f, longest+1, epoch) {
		t.Errorf("the longest is %d", longest)
	}
}

// TestHeadroomIsRoom: what it promises has room, one after the other.
func TestHeadroomIsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, now := Gate{}, epoch
		f := Facts{Slots: rapid.IntRange(0, 8).Draw(t, "slots"), Running: rapid.IntRange(0, 8).Draw(t, "running"), Unread: rapid.IntRange(0, 2000).Draw(t, "unread"),
			PrefillTPS: rapid.SampledFrom([]float64{0, 50, 1000}).Draw(t, "tps"), KVUse: rapid.Float64Range(0, 1).Draw(t, "kv"), KVTokens: rapid.SampledFrom([]int{0, 1000}).Draw(t, "kv tokens")}
		g.Take(&f, f.Unread, now)
		requests, tokens, longest := g.Headroom(&f, now)
		for n := 0; n < requests && tokens > 0; n++ {
			prompt := rapid.IntRange(0, min(longest, 1500)).Draw(t, "prompt")
			if !g.Room(&f, prompt, now) {
				t.Fatalf("no room for number %d of %d, with %d tokens left", n, requests, tokens)
			}
			g.Take(&f, prompt, now)
			f.Running, f.Unread, tokens = f.Running+1, f.Unread+prompt, tokens-prompt
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond)
		}
	})
}
