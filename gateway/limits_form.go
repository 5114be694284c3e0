package gateway

import (
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// limitsForm is the part of keys, tenants and deployments, and of the setting of
// endpoints, that bounds their use.
type limitsForm struct {
	RequestsPerMinute uint32 `json:"requests_per_minute"`
	budgetForm
}

// budgetForm is limitsForm without that on requests, which keys have had before.
type budgetForm struct {
	TokensPerMinute uint32 `json:"tokens_per_minute"`
	TokensPerDay    uint64 `json:"tokens_per_day"`
	TokensPerMonth  uint64 `json:"tokens_per_month"`
	CostPerDay      string `json:"cost_per_day"`
	CostPerMonth    string `json:"cost_per_month"`
	OnPartition     string `json:"on_partition"`
}

const (
	maxBudget = 1 << 53 // tokens: what JSON's numbers hold
	moneyRule = `must be a decimal number in quotes, such as "0.15", of at most 9 digits before the point and 9 behind it`
)

func (f *form) money(param, value string) {
	_, ok := spec.ParseMoney(value)
	f.check(ok, param, moneyRule)
}

func (b *budgetForm) check(f *form) {
	f.check(b.TokensPerDay <= maxBudget, "tokens_per_day", "must be at most 9007199254740992")
	f.check(b.TokensPerMonth <= maxBudget, "tokens_per_month", "must be at most 9007199254740992")
	f.money("cost_per_day", b.CostPerDay)
	f.money("cost_per_month", b.CostPerMonth)
	f.check(slices.Contains([]string{"", "deny", "share"}, b.OnPartition), "on_partition", `must be deny, share, or "": share for limits per minute, deny for budgets`)
}

// limits is the record that it asks for; nil: no limit.
func (l *limitsForm) limits() *wire.Limits {
	day, _ := spec.ParseMoney(l.CostPerDay)
	month, _ := spec.ParseMoney(l.CostPerMonth)
	out := &wire.Limits{RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, TokensPerDay: l.TokensPerDay,
		TokensPerMonth: l.TokensPerMonth, CostPerDay: day, CostPerMonth: month, OnPartition: l.OnPartition}
	if *l == (limitsForm{}) {
		return nil
	}
	return out
}

// limitsOf is the form by which the record could have been asked for.
func limitsOf(l *wire.Limits) limitsForm {
	return limitsForm{l.GetRequestsPerMinute(), budgetForm{l.GetTokensPerMinute(), l.GetTokensPerDay(), l.GetTokensPerMonth(),
		moneyText(l.GetCostPerDay()), moneyText(l.GetCostPerMonth()), l.GetOnPartition()}}
}

func moneyText(n uint64) string {
	if n == 0 {
		return ""
	}
	return spec.FormatMoney(n)
}

// priceForm is what a deployment's tokens cost.
type priceForm struct {
	Input  string `json:"price_input"`
	Cached string `json:"price_cached_input"`
	Output string `json:"price_output"`
}

func (p *priceForm) check(f *form) {
	f.money("price_input", p.Input)
	f.money("price_cached_input", p.Cached)
	f.money("price_output", p.Output)
	f.check(p.Cached == "" || p.Input != "", "price_cached_input", "needs price_input")
}

func (p *priceForm) price() *wire.Price {
	in, _ := spec.ParseMoney(p.Input)
	cached, _ := spec.ParseMoney(p.Cached)
	out, _ := spec.ParseMoney(p.Output)
	if in == 0 && cached == 0 && out == 0 {
		return nil
	}
	return &wire.Price{Input: in, CachedInput: cached, Output: out}
}

func priceOf(p *wire.Price) priceForm {
	return priceForm{moneyText(p.GetInput()), moneyText(p.GetCachedInput()), moneyText(p.GetOutput())}
}

// limitsChange has what is to change of a record's limits; nil stays.
type limitsChange struct {
	RequestsPerMinute *uint32 `json:"requests_per_minute"`
	budgetChange
}

type budgetChange struct {
	TokensPerMinute *uint32 `json:"tokens_per_minute"`
	TokensPerDay    *uint64 `json:"tokens_per_day"`
	TokensPerMonth  *uint64 `json:"tokens_per_month"`
	CostPerDay      *string `json:"cost_per_day"`
	CostPerMonth    *string `json:"cost_per_month"`
	OnPartition     *string `json:"on_partition"`
}

// whole tells whether nothing stays.
func (c *limitsChange) whole() bool {
	return c.RequestsPerMinute != nil && c.TokensPerMinute != nil && c.TokensPerDay != nil && c.TokensPerMonth != nil &&
		c.CostPerDay != nil && c.CostPerMonth != nil && c.OnPartition != nil
}

func (c *limitsChange) apply(old limitsForm) *wire.Limits {
	change(&old.RequestsPerMinute, c.RequestsPerMinute)
	return c.budgetChange.apply(old)
}

// apply is the record that results. Texts that are no numbers count as none: check tells of them.
func (c *budgetChange) apply(old limitsForm) *wire.Limits {
	change(&old.TokensPerMinute, c.TokensPerMinute)
	change(&old.TokensPerDay, c.TokensPerDay)
	change(&old.TokensPerMonth, c.TokensPerMonth)
	change(&old.CostPerDay, c.CostPerDay)
	change(&old.CostPerMonth, c.CostPerMonth)
	change(&old.OnPartition, c.OnPartition)
	return old.limits()
}

// check adds what is wrong with what is to change.
func (c *budgetChange) check(f *form) {
	var b budgetForm
	change(&b.TokensPerDay, c.TokensPerDay)
	change(&b.TokensPerMonth, c.TokensPerMonth)
	change(&b.CostPerDay, c.CostPerDay)
	change(&b.CostPerMonth, c.CostPerMonth)
	change(&b.OnPartition, c.OnPartition)
	b.check(f)
}
