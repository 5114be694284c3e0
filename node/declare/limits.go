package declare

import "github.com/lotabots/lotabots/cluster/spec"

const (
	maxBudget = 1 << 53 // tokens
	moneyRule = `must be a decimal number in quotes, such as "0.15"`
)

// limitFields are those by which tenants and deployments are limited.
func limitFields() []Field {
	return []Field{
		{Name: "requests_per_minute", Default: uint64(0), Max: maxUint32, Help: "of all together; 0: no limit"},
		{Name: "tokens_per_minute", Default: uint64(0), Max: maxUint32, Help: "prompts and answers; 0: no limit"},
		{Name: "tokens_per_day", Default: uint64(0), Max: maxBudget, Help: "budget of a calendar day, UTC; 0: none"},
		{Name: "tokens_per_month", Default: uint64(0), Max: maxBudget, Help: "budget of a calendar month, UTC; 0: none"},
		{Name: "cost_per_day", Default: "", Help: "budget in the currency of the deployments' prices; empty: none"},
		{Name: "cost_per_month", Default: "", Help: "as cost_per_day"},
		{Name: "on_partition", Default: "", Help: "where nobody keeps the limits: deny, or share; empty: share per minute, deny budgets"},
	}
}

// priceFields are what a deployment's tokens cost.
func priceFields() []Field {
	return []Field{
		{Name: "price_input", Default: "", Help: "of a million tokens of prompts; empty: nothing"},
		{Name: "price_cached_input", Default: "", Help: "of a million of those that were cached; empty: as price_input"},
		{Name: "price_output", Default: "", Help: "of a million tokens of answers; empty: nothing"},
	}
}

func checkLimits(d Document, bad func(field, reason string)) {
	checkMoney(d, bad, "cost_per_day", "cost_per_month")
	if p := text(d, "on_partition"); p != "" && p != "deny" && p != "share" {
		bad("on_partition", "must be deny, share or empty")
	}
}

func checkPrice(d Document, bad func(field, reason string)) {
	checkMoney(d, bad, "price_input", "price_cached_input", "price_output")
	if text(d, "price_cached_input") != "" && text(d, "price_input") == "" {
		bad("price_cached_input", "needs price_input")
	}
}

func checkMoney(d Document, bad func(field, reason string), fields ...string) {
	for _, f := range fields {
		if _, ok := spec.ParseMoney(text(d, f)); !ok {
			bad(f, moneyRule)
		}
	}
}
