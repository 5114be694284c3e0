package memory

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Candidate is a loaded instance that may have to go for another.
type Candidate struct {
	ID     spec.InstanceID
	Bytes  uint64 // reserved; what comes back when it goes
	Pinned bool
	Leases int // requests that it serves, and those that wait for it

	Ready    time.Time // since when it serves; zero: it does not yet
	LastUsed time.Time // when it was last asked or answered; zero: never
	Demand   float64   // Demand.At now
	Reload   float64   // seconds that loading it again takes, as measured or expected; 0: not known
}

// A Policy says what is kept whatever it costs.
type Policy struct {
	// MinResidency is how long an instance serves before it may go: without it, two
	// models that do not fit side by side evict each other at each request.
	MinResidency time.Duration
}

// DefaultPolicy was measured (make bench-eviction): with 30 s the slowest of
// those who wait for a load wait a quarter longer, with none a device loads more.
var DefaultPolicy = Policy{MinResidency: 10 * time.Second}

// exactly is up to how many candidates the cheapest set is found by trying all.
const exactly = 14

// Evict chooses the instances that go so that at least need bytes come back, at
// the least expected cost. Either their bytes suffice, or it returns none and the
// refusal says what keeps each candidate: nothing is evicted for a load that does
// not fit all the same. Never chosen is what is pinned, has leases, does not serve
// yet or has not served for p.MinResidency. The choice depends on the arguments
// alone, not on the order of the candidates. need 0 evicts nothing.
func Evict(candidates []Candidate, need uint64, now time.Time, p Policy) ([]Candidate, *Refusal) {
	if need == 0 {
		return nil, nil
	}
	var free []victim
	var possible uint64
	for _, c := range candidates {
		if p.keeps(c, now) == Evictable && c.Bytes > 0 {
			free = append(free, victim{c, p.cost(c, now)})
			possible = add(possible, c.Bytes)
		}
	}
	if possible < need {
		return nil, p.refusal(candidates, need, possible, now)
	}
	slices.SortFunc(free, func(a, b victim) int {
		return cmp.Or(cmp.Compare(a.density(), b.density()), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.ID, b.ID))
	})
	chosen := cover(free, need)
	if len(free) <= exactly {
		chosen = cheapest(free, need)
	}
	out := make([]Candidate, len(chosen))
	for i, v := range chosen {
		out[i] = v.Candidate
	}
	return out, nil
}

// A victim is a candidate that may go, and what that is expected to cost.
type victim struct {
	Candidate
	cost float64
}

func (v victim) density() float64 { return v.cost / float64(v.Bytes) }

// cost is what it will cost to have evicted c: the seconds to load it again, times
// how often that is to be expected in a while. The rate of requests is estimated
// from the demand and from the time since the last one, so that a model which was
// asked often and then no more ages like one that was never asked often.
func (Policy) cost(c Candidate, now time.Time) float64 {
	last := c.LastUsed
	if last.Before(c.Ready) {
		last = c.Ready
	}
	idle := max(now.Sub(last), 0).Seconds()
	life := HalfLife.Seconds()
	rate := (max(c.Demand, 0) + 1) / (life + idle)
	return max(c.Reload, 1) * rate
}

// cover takes victims in order until need is covered, then leaves out those that
// the others make needless, the dearest first.
func cover(in []victim, need uint64) []victim {
	var out []victim
	var sum uint64
	for _, v := range in {
		if sum >= need {
			break
		}
		out, sum = append(out, v), add(sum, v.Bytes)
	}
	byCost := slices.Clone(out)
	slices.SortStableFunc(byCost, func(a, b victim) int { return cmp.Compare(b.cost, a.cost) })
	for _, v := range byCost {
		if sum-v.Bytes >= need {
			sum -= v.Bytes
			out = slices.DeleteFunc(out, func(o victim) bool { return o.ID == v.ID })
		}
	}
	return out
}

// cheapest is the set that covers need at the least cost; of equal ones the
// smaller, then the one of those that come first.
func cheapest(in []victim, need uint64) []victim {
	best, bestCost := uint(0), 0.0
	for set := uint(1); set < 1<<len(in); set++ {
		var sum uint64
		cost := 0.0
		for rest := set; rest != 0; rest &= rest - 1 {
			v := in[bits.TrailingZeros(rest)]
			sum, cost = add(sum, v.Bytes), cost+v.cost
		}
		if sum < need {
			continue
		}
		if best == 0 || cost < bestCost || cost == bestCost && bits.OnesCount(set) < bits.OnesCount(best) {
			best, bestCost = set, cost
		}
	}
	var out []victim
	for rest := best; rest != 0; rest &= rest - 1 {
		out = append(out, in[bits.TrailingZeros(rest)])
	}
	return out
}

// add is a+b, or the greatest number where that is more.
func add(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return ^uint64(0)
	}
	return sum
}
