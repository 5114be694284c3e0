package state

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func putBudgets(atMS int64, rows ...*wire.BudgetSpent) *wire.Command {
	return &wire.Command{Level: 5, AtMs: atMS, RequestId: "any", Body: &wire.Command_PutBudgets{PutBudgets: &wire.PutBudgets{Rows: rows}}}
}

func spent(limit string, period int64, granted, returned uint64) *wire.BudgetSpent {
	return &wire.BudgetSpent{Limit: limit, PeriodMs: period, Granted: granted, Returned: returned}
}

// TestBudgetsOnlyRise: what comes late or twice changes nothing, and a later period begins anew.
func TestBudgetsOnlyRise(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putBudgets(1, spent("key/a/tpd", 100, 50, 10), spent("key/b/tpd", 100, 1, 0)))
	for _, c := range []struct{ told, want *wire.BudgetSpent }{
		{spent("key/a/tpd", 100, 40, 12), spent("key/a/tpd", 100, 50, 12)}, // both are of the same owner, and one came late
		{spent("key/a/tpd", 100, 60, 11), spent("key/a/tpd", 100, 60, 12)},
		{spent("key/a/tpd", 50, 900, 900), spent("key/a/tpd", 100, 60, 12)},
		{spent("key/a/tpd", 200, 1, 0), spent("key/a/tpd", 200, 1, 0)},
		{spent("key/a/tpd", 100, 99, 0), spent("key/a/tpd", 200, 1, 0)},
	} {
		if res := r.ok(t, putBudgets(2, c.told)); res.GetReplayed() {
			t.Fatal("its answer was remembered")
		}
		if got, ok := r.Budget("key/a/tpd"); !ok || !proto.Equal(got, c.want) {
			t.Fatalf("after %v: %v", c.told, got)
		}
	}
	if all := r.Budgets(); len(all) != 2 {
		t.Fatalf("budgets %v", all)
	}
	r.refused(t, spec.CodeInvalidRequest, putBudgets(3))
	r.refused(t, spec.CodeInvalidRequest, putBudgets(3, spent("", 1, 1, 1)))
	r.refused(t, spec.CodeInvalidRequest, putBudgets(3, make([]*wire.BudgetSpent, maxBudgets+1)...))
	if _, ok := r.Budget("key/c/tpd"); ok {
		t.Error("a budget that nobody told of")
	}
}

// TestBudgetsAreForgotten long after their period.
func TestBudgetsAreForgotten(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putBudgets(1, spent("a", 1000, 5, 0), spent("b", 2000, 5, 0)))
	late := int64(budgetsKept)*1000 + 1500
	r.ok(t, putBudgets(late, spent("a", late, 1, 0)))
	if all := r.Budgets(); len(all) != 2 {
		t.Fatalf("%v", all) // a is of the new period, and b within its time
	}
	r.ok(t, putBudgets(late+1000, spent("a", late, 2, 0)))
	if all := r.Budgets(); len(all) != 1 || all[0].GetLimit() != "a" {
		t.Fatalf("%v", all)
	}
}
