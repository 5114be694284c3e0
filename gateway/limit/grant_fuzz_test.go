package limit

import (
	"math"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// FuzzGrants: whatever the owner of a limit answers, clients are told times and numbers that make sense.
func FuzzGrants(f *testing.F) {
	f.Add(uint32(60), uint32(3), int64(1000), int64(0), uint32(10))
	f.Add(uint32(1), uint32(0), int64(-1), int64(math.MaxInt64), uint32(math.MaxUint32))
	f.Add(uint32(math.MaxUint32), uint32(math.MaxUint32), int64(math.MaxInt64), int64(math.MinInt64), uint32(0))
	f.Fuzz(func(t *testing.T, perMin, granted uint32, ttl, retry int64, remaining uint32) {
		if perMin == 0 {
			return // is no limit
		}
		b := bucket{}
		b.reset(perMin)
		for i := range 3 {
			now := epoch.Add(time.Duration(i) * time.Second)
			b.answer(now, &wire.QuotaGrant{Granted: granted, TtlMs: ttl, RetryAfterMs: retry, Remaining: remaining})
			d := b.decision(now, b.take(now, 2), 2)
			if d.Remaining > perMin || d.Limit != perMin || d.Reset < 0 || d.Reset > time.Minute+time.Second || d.RetryAfter < 0 || d.RetryAfter > time.Minute {
				t.Errorf("of %d a minute: %+v", perMin, d)
			}
			if q := b.request("l", 1); q.GetWant() == 0 || q.GetWant() > max(1, perMin/4) {
				t.Errorf("asks for %d of %d a minute", q.GetWant(), perMin)
			}
		}
	})
}
