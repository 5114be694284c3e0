package limit

import (
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A bucket is one limit as this gateway holds it. It does no I/O: its owner
// calls it under a lock and carries out what it asks for.
type bucket struct {
	perMin    uint32
	tokens    uint32 // left of the present lease
	granted   uint32 // size of the present lease
	expires   time.Time
	owed      uint32 // unspent of leases that ran out: given back with the next request
	remaining uint32 // at the owner after the last grant
	denied    time.Time
	shared    time.Time // until then the owner counts as unreachable
	tat       time.Time // of the share: theoretical arrival time of the next request

	uses   uint32 // in the present second
	second time.Time
	rate   float64 // uses per second, smoothed
}

type verdict uint8

const (
	spend verdict = iota // admitted
	deny                 // refused
	ask                  // nothing to spend: ask the owner
)

// smoothing of the recent use, per second.
const smoothing = 0.3

// leaseSeconds is how many seconds of recent use a lease should cover.
const leaseSeconds = 2

func (b *bucket) reset(perMin uint32) { *b = bucket{perMin: perMin} }

// take tries to admit one request. gateways is how many are alive.
func (b *bucket) take(now time.Time, gateways int) verdict {
	if now.Before(b.shared) {
		return b.takeShare(now, gateways)
	}
	if b.tokens > 0 && !now.Before(b.expires) {
		b.owed += b.tokens
		b.tokens = 0
	}
	switch {
	case b.tokens > 0:
		b.tokens--
		return spend
	case now.Before(b.denied):
		return deny
	default:
		return ask
	}
}

// takeShare is GCRA over this gateway's part of the rate.
func (b *bucket) takeShare(now time.Time, gateways int) verdict {
	interval := time.Minute * time.Duration(max(gateways, 1)) / time.Duration(b.perMin)
	burst := max(10*time.Second, interval)
	if b.tat.Before(now) {
		b.tat = now
	}
	if b.tat.Add(interval).After(now.Add(burst)) {
		return deny
	}
	b.tat = b.tat.Add(interval)
	return spend
}

// used counts one request towards the recent use.
func (b *bucket) used(now time.Time) {
	if b.second.IsZero() {
		b.second = now
	}
	for gone := now.Sub(b.second); gone >= time.Second; gone -= time.Second {
		b.rate += smoothing * (float64(b.uses) - b.rate)
		b.uses = 0
		b.second = b.second.Add(time.Second)
		if gone > time.Minute {
			b.rate, b.second = 0, now
			break
		}
	}
	b.uses++
}

// low tells whether it is time to ask for the next lease before this one is spent.
func (b *bucket) low(now time.Time) bool {
	return b.granted >= 4 && b.tokens <= b.granted/4 && !now.Before(b.denied) && !now.Before(b.shared)
}

// request is what to ask the owner for, with waiting requests at hand.
func (b *bucket) request(id string, waiting int) *wire.QuotaRequest {
	recent := max(b.rate, float64(b.uses)) * leaseSeconds
	want := max(uint32(recent), uint32(max(waiting, 1)))
	want = min(want, max(1, b.perMin/4))
	back := b.owed
	b.owed = 0
	return &wire.QuotaRequest{Limit: id, PerMinute: b.perMin, Want: want, GiveBack: back}
}

// answer takes over what the owner said.
func (b *bucket) answer(now time.Time, g *wire.QuotaGrant) {
	b.shared = time.Time{}
	b.remaining = g.GetRemaining()
	if g.GetGranted() == 0 {
		wait := time.Duration(g.GetRetryAfterMs()) * time.Millisecond
		b.denied = now.Add(min(max(wait, 50*time.Millisecond), time.Minute))
		return
	}
	if !now.Before(b.expires) {
		b.owed += b.tokens
		b.tokens = 0
	}
	b.tokens += g.GetGranted()
	b.granted = b.tokens
	b.expires = now.Add(time.Duration(g.GetTtlMs()) * time.Millisecond)
	b.denied = time.Time{}
}

// failed notes that the owner did not answer: what was to be given back is kept.
func (b *bucket) failed(now time.Time, back uint32) {
	b.owed += back
	b.shared = now.Add(shareFor)
}

func (b *bucket) decision(now time.Time, v verdict, gateways int) Decision {
	d := Decision{OK: v == spend, Limit: b.perMin, Shared: now.Before(b.shared)}
	perToken := time.Minute / time.Duration(b.perMin)
	if d.Shared {
		perToken *= time.Duration(max(gateways, 1))
		if b.tat.After(now) {
			d.Reset = b.tat.Sub(now)
		}
		d.RetryAfter = perToken
		return d
	}
	d.Remaining = min(b.remaining+b.tokens, b.perMin)
	d.Reset = time.Duration(b.perMin-d.Remaining) * perToken
	d.RetryAfter = max(b.denied.Sub(now), 0)
	return d
}
