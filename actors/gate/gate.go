package gate

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Facts are what the instance's owner knows of it at the moment of a call.
type Facts struct {
	Slots      int
	Running    int     // requests admitted and not ended
	Unread     int     // prompt tokens of those whose first byte has not come
	PrefillTPS float64 // measured; 0: not known, and then slots alone decide
	KVUse      float64 // 0 to 1
	KVTokens   int     // that the whole cache holds; 0: not known
}

// A Gate is the admission of one instance. Its zero value is ready for use.
type Gate struct {
	read    time.Time // when the prompts taken in will have been read, at the measured speed
	leases  []lease
	waiting []reservation
	last    uint64 // lease given
	shares  shares
	since   int // places granted since a gateway was that has none of the highest priority that waits
}

type lease struct {
	id      uint64
	gateway spec.NodeID
	cost    int
	given   time.Time
	until   time.Time
}

const (
	leaseTrips = 3           // round trips that a lease lasts at least, and that the backlog covers
	mostTrip   = time.Second // that a round trip is reckoned as
	firstTrip  = 100 * time.Millisecond
	tripAge    = 30 * time.Second // after which a round trip says nothing of now
)

// Room tells whether one more request with so many prompt tokens to read may be taken in.
// An instance with nothing to do takes any.
func (g *Gate) Room(f *Facts, prompt int, now time.Time) bool {
	busy := f.Running + len(g.leases)
	switch {
	case busy >= f.Slots:
		return false
	case busy == 0:
		return true
	case f.KVTokens > 0 && f.KVUse+float64(prompt+g.promised())/float64(f.KVTokens) >= spec.GateKV:
		return false
	}
	return g.Backlog(f, now) < (spec.GateBacklog + leaseTrips*g.trip(now)).Seconds()
}

// Headroom is what may be taken in one after the other, at least, while nothing else happens: so
// many requests, each with a prompt of longest tokens at most, as long as fewer than tokens came
// with those before. It is none where a place is promised or waited for.
func (g *Gate) Headroom(f *Facts, now time.Time) (requests, tokens, longest int) {
	if r, _ := g.first(now); r != nil || len(g.leases) > 0 {
		return 0, 0, 0
	}
	requests, tokens, longest = f.Slots-f.Running, math.MaxInt32, math.MaxInt32
	if f.KVTokens > 0 {
		longest = int(math.Ceil((spec.GateKV-f.KVUse)*float64(f.KVTokens))) - 1
		if f.KVUse+float64(longest)/float64(f.KVTokens) >= spec.GateKV { // as Room reckons, where rounding has it otherwise
			longest--
		}
	}
	if f.PrefillTPS > 0 {
		left := (spec.GateBacklog + leaseTrips*g.trip(now)).Seconds() - g.Backlog(f, now)
		tokens = int(max(0, min(left*f.PrefillTPS, math.MaxInt32)))
	}
	if tokens <= 0 || longest < 0 {
		return 0, 0, 0
	}
	return max(requests, 0), tokens, longest
}

// Backlog is the seconds that the prompts taken in and those of granted leases will
// take to be read. The prompts that are unread bound it from one side and the time
// since they came from the other: the first byte of an answer that is not streamed
// comes long after its prompt has been read.
func (g *Gate) Backlog(f *Facts, now time.Time) float64 {
	if f.PrefillTPS <= 0 {
		return 0
	}
	taken := min(float64(f.Unread)/f.PrefillTPS, max(g.read.Sub(now).Seconds(), 0))
	return taken + float64(g.promised())/f.PrefillTPS
}

// Granted counts the leases that are out.
func (g *Gate) Granted() int { return len(g.leases) }

// Waiting counts the requests that wait at gateways, as far as they have told.
func (g *Gate) Waiting() int {
	n := 0
	for i := range g.waiting {
		n += g.waiting[i].Count
	}
	return n
}

func (g *Gate) promised() int {
	n := 0
	for i := range g.leases {
		n += g.leases[i].cost
	}
	return n
}

// Take notes that a request has been taken in.
func (g *Gate) Take(f *Facts, prompt int, now time.Time) {
	if f.PrefillTPS <= 0 {
		return
	}
	if g.read.Before(now) {
		g.read = now
	}
	g.read = g.read.Add(time.Duration(float64(prompt) / f.PrefillTPS * float64(time.Second)))
}

// Bind ends the gateway's lease because its request has come; false: it has expired,
// and the request is an ordinary one.
func (g *Gate) Bind(gateway spec.NodeID, id uint64, now time.Time) bool {
	for i := range g.leases {
		l := &g.leases[i]
		if l.id != id || l.gateway != gateway {
			continue
		}
		if r := g.of(l.gateway); r != nil {
			r.learn(now.Sub(l.given), now)
		}
		g.leases[i] = g.leases[len(g.leases)-1]
		g.leases = g.leases[:len(g.leases)-1]
		return true
	}
	return false
}

// Next grants one place, where there is room and somebody waits.
func (g *Gate) Next(f *Facts, now time.Time) (spec.Lease, bool) {
	r, aged := g.first(now)
	if r == nil || !g.Room(f, r.Cost, now) {
		return spec.Lease{}, false
	}
	if g.since = min(g.since+1, spec.AgedEvery); aged {
		g.since = 0
	}
	g.last++
	lasts := max(spec.LeaseLeast, leaseTrips*r.roundTrip())
	g.leases = append(g.leases, lease{id: g.last, gateway: r.Gateway, cost: r.Cost, given: now, until: now.Add(lasts)})
	r.out++
	g.shares.charge(r.Tenant, float64(r.Cost))
	return spec.Lease{Gateway: r.Gateway, Instance: r.Instance, ID: g.last, Lasts: lasts}, true
}

// Expire ends the leases that nobody has bound in time, and with each its gateway's
// reservation: one that is frozen is granted nothing more until it speaks again.
func (g *Gate) Expire(now time.Time) (ended int) {
	for i := 0; i < len(g.leases); {
		l := g.leases[i]
		if now.Before(l.until) {
			i++
			continue
		}
		ended++
		if r := g.of(l.gateway); r != nil {
			r.Count = 0
			r.out--
		}
		g.leases[i] = g.leases[len(g.leases)-1]
		g.leases = g.leases[:len(g.leases)-1]
	}
	return ended
}

// Due is when Expire has something to do next; false: nothing is out.
func (g *Gate) Due() (time.Time, bool) {
	var due time.Time
	for i := range g.leases {
		if due.IsZero() || g.leases[i].until.Before(due) {
			due = g.leases[i].until
		}
	}
	return due, len(g.leases) > 0
}

// Opens is when the backlog alone will let the next request in, for whoever has to look
// then because nothing else happens; false: nobody waits, or it does not hold them up.
func (g *Gate) Opens(f *Facts, now time.Time) (time.Time, bool) {
	r, _ := g.first(now)
	if r == nil || f.PrefillTPS <= 0 || f.Running+len(g.leases) >= f.Slots {
		return time.Time{}, false
	}
	over := g.Backlog(f, now) - (spec.GateBacklog + leaseTrips*g.trip(now)).Seconds()
	if over < 0 {
		return time.Time{}, false
	}
	return now.Add(time.Duration(over*float64(time.Second)) + time.Millisecond), true
}
