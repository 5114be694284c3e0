package state

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A UsageQuery says which sums of usage are wanted: those for which every field
// that is set fits.
type UsageQuery struct {
	Tenant, User, Key, Deployment, Adapter, Endpoint, Region, Outcome string
	Version                                                           uint64 // of a deployment

	FromMS, ToMS int64  // of the requests' ends, from FromMS on, before ToMS
	Coarsest     uint32 // no sum is of a longer period, in seconds, where finer ones are kept
}

// A UsageSpan is what an answer is of: the times asked for, widened to the sums
// that are kept.
type UsageSpan struct {
	FromMS, ToMS int64
	WholeMS      int64 // nothing that ended at it or later was dropped
}

// Usage calls each with the sums that fit, of one moment of the state, until it
// returns false. Every request that ended within the span is in exactly one of them.
func (s *Store) Usage(q UsageQuery, each func(*wire.UsageRow) bool) (told UsageSpan) {
	f := s.freeze()
	defer f.release()
	var whole [len(spec.UsagePeriods)]int64
	for i, period := range spec.UsagePeriods {
		whole[i] = f.sums(period).whole
	}
	told = UsageSpan{q.FromMS, q.ToMS, whole[len(whole)-1]}
	prefix, indexed := q.prefix()
	more := true
	for i, span := range cover(q.FromMS, q.ToMS, q.Coarsest, whole) {
		if i == 0 {
			told.FromMS = span.from
		}
		told.ToMS = span.to
		low, high := append(prefix[:len(prefix):len(prefix)], usageStart(span.period, span.from)...), append(prefix[:len(prefix):len(prefix)], usageStart(span.period, span.to)...)
		f.walkBetween(low, high, false, func(key, value []byte) bool {
			var r *wire.UsageRow
			if !indexed {
				r = usage.decode(value)
			} else if r, more = usage.get(f.view, string(key[len(prefix):])); !more {
				more = true
				return true
			}
			if q.fits(r) {
				more = each(r)
			}
			return more
		})
		if !more {
			break
		}
	}
	return told
}

// prefix is of the keys to walk; indexed: of the index that narrows most.
func (q UsageQuery) prefix() (prefix []byte, indexed bool) {
	switch {
	case q.Key != "":
		return indexKey(byUsageKey, q.Key, ""), true
	case q.Deployment != "":
		return indexKey(byUsageDeployment, q.Deployment, ""), true
	case q.Tenant != "":
		return indexKey(byUsageTenant, q.Tenant, ""), true
	}
	return []byte{usage.id}, false
}

func (q UsageQuery) fits(r *wire.UsageRow) bool {
	for _, c := range [...][2]string{{q.Tenant, r.GetTenant()}, {q.User, r.GetUser()}, {q.Key, r.GetKey()}, {q.Deployment, r.GetDeployment()},
		{q.Adapter, r.GetAdapter()}, {q.Endpoint, r.GetEndpoint()}, {q.Region, r.GetRegion()}, {q.Outcome, r.GetOutcome()}} {
		if c[0] != "" && c[0] != c[1] {
			return false
		}
	}
	return q.Version == 0 || q.Version == r.GetVersion()
}

// A span is a time of which the sums of one period are taken.
type span struct {
	period   uint32
	from, to int64 // Unix milliseconds
}

// farthest is after every request, and far from where milliseconds overflow.
const farthest = int64(1) << 53

// cover divides a time into spans without a gap or an overlap, of as long periods
// as may be. Where the finer sums were dropped (those before whole), it begins and
// ends where coarser ones do.
func cover(from, to int64, coarsest uint32, whole [len(spec.UsagePeriods)]int64) (out []span) {
	const last = len(spec.UsagePeriods) - 1
	length := func(i int) int64 { return int64(spec.UsagePeriods[i]) * 1000 }
	finest := func(at int64) int { // of those that are whole there
		for i, w := range whole {
			if at >= w {
				return i
			}
		}
		return last
	}
	from, to = min(max(from, 0), farthest), min(max(to, 0), farthest)
	at := from - from%length(0)
	for i := finest(at); at%length(i) != 0; i = finest(at) {
		at -= at % length(i)
	}
	for at < to {
		i := finest(at)
		for j := i + 1; j <= last && spec.UsagePeriods[j] <= coarsest; j++ {
			if at >= whole[j] && at%length(j) == 0 && at+length(j) <= to {
				i = j
			}
		}
		// The choice stays until a longer period may begin, or what is whole changes.
		limit := to
		for j, w := range whole {
			if j > i && spec.UsagePeriods[j] <= coarsest {
				limit = min(limit, at-at%length(j)+length(j))
			}
			if w > at {
				limit = min(limit, (w+length(i)-1)/length(i)*length(i))
			}
		}
		end := at + max(1, (limit-at)/length(i))*length(i)
		if n := len(out); n > 0 && out[n-1].period == spec.UsagePeriods[i] {
			out[n-1].to = end
		} else {
			out = append(out, span{spec.UsagePeriods[i], at, end})
		}
		at = end
	}
	return out
}

// UsageLedgers returns how far the records of each gateway's ledger are counted.
func (s *Store) UsageLedgers() []*wire.UsageLedger { return current(s, ledgers.all) }

// UsageSums counts the sums that are kept, of all periods.
func (s *Store) UsageSums() (n int64) {
	return current(s, func(v view) int64 {
		for _, period := range spec.UsagePeriods {
			n += v.sums(period).count
		}
		return n
	})
}
