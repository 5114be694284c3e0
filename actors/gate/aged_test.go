package gate

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// told is a reservation as gateways of this build leave it: the lowest priority's first.
func told(low, normal, high, critical uint8) func(*spec.Reservation) {
	return func(r *spec.Reservation) {
		r.Bands = spec.Bands{low, normal, high, critical}
		r.Count, r.Priority = r.Bands.Sum(), r.Bands.Next(0)
	}
}

// granted counts what each gateway is granted of n places, each of which is used at once. says leaves the reservations anew before each.
func granted(t *testing.T, n int, says func(g *Gate, seq uint64, now time.Time)) map[spec.NodeID]int {
	t.Helper()
	g, f, to, now := Gate{}, Facts{Slots: 1}, map[spec.NodeID]int{}, epoch
	for i := range n {
		says(&g, uint64(i+1), now)
		l, ok := g.Next(&f, now)
		if !ok {
			t.Fatal("nothing granted")
		}
		to[l.Gateway]++
		g.Bind(l.Gateway, l.ID, now)
		now = now.Add(100 * time.Millisecond)
	}
	return to
}

// TestTheAgedAmongGateways: those of lower priority at one gateway have one place in 16 once they have waited for long,
// whatever the others have, and hold up nobody of their own gateway.
func TestTheAgedAmongGateways(t *testing.T) {
	const n = 320
	for _, c := range []struct {
		name        string
		a           func(*spec.Reservation)
		age         time.Duration
		least, most int
	}{
		{"one aged, and normal ones behind it", told(1, 19, 0, 0), 6 * time.Second, n/2 - 30, n/2 + 30},
		{"aged alone", told(20, 0, 0, 0), 6 * time.Second, n / 16, n / 16},
		{"aged alone, of an older build", func(r *spec.Reservation) { r.Priority, r.Count, r.Age, r.Oldest = 0, 20, 6*time.Second, 0 }, 0, n / 16, n / 16},
		{"low alone, and patient", told(20, 0, 0, 0), 4 * time.Second, 0, 0},
	} {
		to := granted(t, n, func(g *Gate, seq uint64, now time.Time) {
			g.Reserve(wants("a", seq, 0, tenant(1), func(r *spec.Reservation) { r.Oldest = c.age }, c.a), now)
			g.Reserve(wants("b", seq, 0, tenant(2), told(0, 20, 0, 0), aged(1000)), now)
		})
		if to["a"] < c.least || to["a"] > c.most || to["a"]+to["b"] != n {
			t.Errorf("%s: granted %v", c.name, to)
		}
	}
}

// TestBandsAreStrictWhileLeasesAreOut: a gateway with one urgent request is not granted for its others before the urgent ones of others are.
func TestBandsAreStrictWhileLeasesAreOut(t *testing.T) {
	for _, c := range []struct {
		name string
		a    func(*spec.Reservation)
		want string
	}{
		{"as it tells", told(3, 0, 1, 0), "abbaaa"},
		{"as an older build tells", func(r *spec.Reservation) { r.Priority, r.Count = 2, 4 }, "aaaabb"},
		{"as nobody tells", func(r *spec.Reservation) { r.Priority, r.Count, r.Bands = 2, 4, spec.Bands{1, 1} }, "aaaabb"},
	} {
		g, f := Gate{}, Facts{Slots: 100}
		g.Reserve(wants("a", 1, 0, c.a, aged(9)), epoch)
		g.Reserve(wants("b", 1, 0, told(0, 0, 2, 0)), epoch)
		if got := order(&g, &f, epoch); got != c.want {
			t.Errorf("%s: granted %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAGatewayThatBeginsAnew is heard, whatever its clock says now, and its process of before is not any more.
func TestAGatewayThatBeginsAnew(t *testing.T) {
	run := func(n uint64) func(*spec.Reservation) { return func(r *spec.Reservation) { r.Run = n } }
	for _, c := range []struct {
		name string
		told []*spec.Reservation
		want int
	}{
		{"clock set back", []*spec.Reservation{wants("a", 1000, 0, run(7)), wants("a", 900, 3, run(8))}, 3},
		{"what is late of the run before", []*spec.Reservation{wants("a", 1000, 0, run(7)), wants("a", 900, 3, run(8)), wants("a", 1001, 9, run(7))}, 3},
		{"overtaken in the same run", []*spec.Reservation{wants("a", 1000, 2, run(7)), wants("a", 900, 3, run(7))}, 2},
		{"upgraded", []*spec.Reservation{wants("a", 1000, 2), wants("a", 900, 3, run(7))}, 3},
		{"what is late of the older build", []*spec.Reservation{wants("a", 1000, 2), wants("a", 900, 3, run(7)), wants("a", 800, 9)}, 3},
		{"upgraded and taken back", []*spec.Reservation{wants("a", 1000, 2), wants("a", 1001, 3, run(7)), wants("a", 1002, 4)}, 4},
		{"upgraded, taken back and upgraded", []*spec.Reservation{wants("a", 1000, 2, run(7)), wants("a", 1001, 3), wants("a", 1002, 4, run(8)), wants("a", 1003, 5, run(8))}, 5},
	} {
		g := Gate{}
		for _, r := range c.told {
			g.Reserve(r, epoch)
		}
		if got := g.Waiting(); got != c.want {
			t.Errorf("%s: %d wait, want %d", c.name, got, c.want)
		}
	}
}

// TestNobodyStarvesAmongGateways: whatever waits at gateways, each is granted a place before long.
func TestNobodyStarvesAmongGateways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d"}
		bands, tenants, last := map[string]func(*spec.Reservation){}, map[string]uint32{}, map[spec.NodeID]int{}
		for _, name := range names {
			count := func(what string) uint8 { return uint8(rapid.IntRange(0, 3).Draw(t, name+what)) }
			low, normal, high := count("low"), count("normal"), count("high")
			bands[name] = told(max(low, 1), normal, high, 0)
			tenants[name] = uint32(rapid.IntRange(1, 2).Draw(t, name+"tenant"))
		}
		g, f, now := Gate{}, Facts{Slots: 1}, epoch
		came := map[spec.NodeID]time.Time{}
		for i := range 400 {
			for _, name := range names {
				id := spec.NodeID(name)
				if came[id].IsZero() {
					came[id] = now
				}
				r := wants(name, uint64(i+1), 0, tenant(tenants[name]), bands[name])
				r.Age, r.Oldest = now.Sub(came[id]), now.Sub(came[id])
				g.Reserve(r, now)
			}
			l, ok := g.Next(&f, now)
			if !ok {
				t.Fatal("nothing granted")
			}
			g.Bind(l.Gateway, l.ID, now)
			last[l.Gateway], came[l.Gateway] = i, now
			now = now.Add(time.Second)
		}
		for _, name := range names {
			if at, ok := last[spec.NodeID(name)]; !ok || at < 400-5*spec.AgedEvery {
				t.Fatalf("%s was granted its last place as number %d", name, at)
			}
		}
	})
}
