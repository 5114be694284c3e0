package main

import "github.com/spf13/pflag"

// A limitRow is what bounds the use of a key or a deployment, as the API shows and takes it.
type limitRow struct {
	TokensPerMinute uint32 `json:"tokens_per_minute,omitempty"`
	TokensPerDay    uint64 `json:"tokens_per_day,omitempty"`
	TokensPerMonth  uint64 `json:"tokens_per_month,omitempty"`
	CostPerDay      string `json:"cost_per_day,omitempty"`
	CostPerMonth    string `json:"cost_per_month,omitempty"`
	OnPartition     string `json:"on_partition,omitempty"`
}

func (l *limitRow) flags(f *pflag.FlagSet) {
	f.Uint32Var(&l.TokensPerMinute, "tpm", 0, "tokens per minute, of prompts and answers; 0: no limit")
	f.Uint64Var(&l.TokensPerDay, "tokens-per-day", 0, "budget of tokens of a calendar day, UTC; 0: none")
	f.Uint64Var(&l.TokensPerMonth, "tokens-per-month", 0, "budget of tokens of a calendar month, UTC; 0: none")
	f.StringVar(&l.CostPerDay, "cost-per-day", "", "budget of money of a day, such as 2.50, by the deployments' prices; empty: none")
	f.StringVar(&l.CostPerMonth, "cost-per-month", "", "budget of money of a month; empty: none")
	f.StringVar(&l.OnPartition, "on-partition", "", "where the node that keeps a limit does not answer: deny, or share; empty: share limits per minute, deny budgets")
}

// fields are the API's of each flag.
func (l *limitRow) fields() map[string]field {
	return map[string]field{
		"tpm": {"tokens_per_minute", l.TokensPerMinute}, "tokens-per-day": {"tokens_per_day", l.TokensPerDay},
		"tokens-per-month": {"tokens_per_month", l.TokensPerMonth}, "cost-per-day": {"cost_per_day", l.CostPerDay},
		"cost-per-month": {"cost_per_month", l.CostPerMonth}, "on-partition": {"on_partition", l.OnPartition},
	}
}

// A field is one of the API's, with the value that a flag gives it.
type field struct {
	name  string
	value any
}

// A priceRow is what a deployment's tokens cost.
type priceRow struct {
	Input  string `json:"price_input,omitempty"`
	Cached string `json:"price_cached_input,omitempty"`
	Output string `json:"price_output,omitempty"`
}

func (p *priceRow) flags(f *pflag.FlagSet) {
	f.StringVar(&p.Input, "price-input", "", "of a million tokens of prompts, such as 0.15; empty: nothing")
	f.StringVar(&p.Cached, "price-cached-input", "", "of a million of those that an engine had cached; empty: as --price-input")
	f.StringVar(&p.Output, "price-output", "", "of a million tokens of answers; empty: nothing")
}
