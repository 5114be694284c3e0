package state

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

var budgets = table[*wire.BudgetSpent]{0x17, 0, fresh[wire.BudgetSpent], (*wire.BudgetSpent).GetLimit, none[*wire.BudgetSpent]}

const (
	maxBudgets   = 1000         // in one command
	budgetsKept  = 400 * 86_400 // seconds after the period began: budgets of which nothing was heard since are dropped
	budgetsSwept = 64           // looked at with each command
)

// putBudgets notes what is spent of budgets. Both numbers of a period only rise, so
// that what comes late or twice changes nothing; a later period begins anew.
func (t *tx) putBudgets(c *wire.PutBudgets) *wire.Result {
	if n := len(c.GetRows()); n == 0 || n > maxBudgets {
		return refuse(spec.CodeInvalidRequest, "%d budgets are told of, and there may be 1 to %d", n, maxBudgets)
	}
	for _, to := range c.GetRows() {
		if bad := checkName("the limit", to.GetLimit()); bad != nil {
			return bad
		}
	}
	for _, to := range c.GetRows() {
		was, exists := budgets.get(t.view, to.GetLimit())
		switch {
		case exists && to.GetPeriodMs() < was.GetPeriodMs():
			continue
		case exists && to.GetPeriodMs() == was.GetPeriodMs():
			to.Granted, to.Returned = max(to.GetGranted(), was.GetGranted()), max(to.GetReturned(), was.GetReturned())
		}
		budgets.put(t, to, was, exists)
	}
	t.forgetBudgets(c.GetRows()[0].GetLimit())
	return done(0)
}

// forgetBudgets drops some whose period is long over, looking at a few from a place
// that is another with each command.
func (t *tx) forgetBudgets(from string) {
	var old []*wire.BudgetSpent
	looked := 0
	t.walk([]byte{budgets.id}, append([]byte{budgets.id}, from...), func(_, value []byte) bool {
		if b := budgets.decode(value); b.GetPeriodMs() < t.at-budgetsKept*1000 {
			old = append(old, b)
		}
		looked++
		return looked < budgetsSwept
	})
	for _, b := range old {
		budgets.drop(t, b)
	}
}

// Budget returns what is noted to be spent of a budget.
func (s *Store) Budget(limit string) (*wire.BudgetSpent, bool) {
	type found struct {
		b  *wire.BudgetSpent
		ok bool
	}
	f := current(s, func(v view) found {
		b, ok := budgets.get(v, limit)
		return found{b, ok}
	})
	return f.b, f.ok
}

// Budgets returns what is noted to be spent of all budgets.
func (s *Store) Budgets() []*wire.BudgetSpent { return current(s, budgets.all) }
