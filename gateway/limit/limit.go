package limit

import (
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Scope is whose use a limit bounds.
type Scope uint8

// The scopes, in the order in which they are asked.
const (
	OfKey Scope = iota
	OfTenant
	OfEndpoint
	OfDeployment
	Scopes // how many
)

func (s Scope) String() string {
	return [...]string{"key", "tenant", "endpoint", "deployment"}[s]
}

// A Unit is what a limit counts.
type Unit uint8

// The units. Costs are in billionths of the currency that prices are in.
const (
	Requests Unit = iota
	Tokens
	Cost
)

func (u Unit) String() string { return [...]string{"requests", "tokens", "cost"}[u] }

// A Period is over what a limit counts.
type Period uint8

// The periods. Days and months are the calendar's, in UTC, by the owner's clock; the
// numbers are the wire's.
const (
	Minute Period = iota
	Day
	Month
)

func (p Period) String() string { return [...]string{"minute", "day", "month"}[p] }

// A Limit is one, of Amount units in a period. Its amount is not 0; a rate's is at
// most 2^32-1.
type Limit struct {
	ID     string
	Of     string // name of the key's id, tenant, endpoint or deployment
	Amount uint64
	Scope  Scope
	Unit   Unit
	Per    Period
	Deny   bool  // where no owner answers, nothing is admitted; else this gateway's share
	Slot   *Slot // nil: it is looked for each time
}

// A Slot keeps where a Limiter has found a limit, so that it looks for it once. It is of one limit
// and one Limiter, and goes with the record that gives the limit.
type Slot struct{ at atomic.Pointer[entry] }

// ids are how the limits of one subject are told apart.
var ids = [3][3]string{{"rpm", "", ""}, {"tpm", "tpd", "tpmonth"}, {"", "cpd", "cpmonth"}}

// Prefix begins the ids of a subject's limits.
func Prefix(s Scope, name string) string { return s.String() + "/" + name + "/" }

// Of lists the limits that a record gives to what has that name.
func Of(s Scope, name string, l *wire.Limits) []Limit {
	var out []Limit
	add := func(u Unit, p Period, amount uint64) {
		if amount == 0 {
			return
		}
		deny := l.GetOnPartition() == "deny" || l.GetOnPartition() == "" && p != Minute
		out = append(out, Limit{ID: Prefix(s, name) + ids[u][p], Of: name, Amount: amount, Scope: s, Unit: u, Per: p, Deny: deny, Slot: new(Slot)})
	}
	add(Requests, Minute, uint64(l.GetRequestsPerMinute()))
	add(Tokens, Minute, uint64(l.GetTokensPerMinute()))
	add(Tokens, Day, l.GetTokensPerDay())
	add(Tokens, Month, l.GetTokensPerMonth())
	add(Cost, Day, l.GetCostPerDay())
	add(Cost, Month, l.GetCostPerMonth())
	return out
}

// A Decision tells what became of one request under one limit.
type Decision struct {
	OK         bool
	Shared     bool // decided by this gateway's share, without the owner
	Unknown    bool // refused because no owner answers, and the limit says so
	Limit      uint64
	Remaining  uint64
	Reset      time.Duration // until all of the limit is there again
	RetryAfter time.Duration // where not OK
	Period     int64         // to be given to Settle: of a budget its period, of a rate when it was decided
}
