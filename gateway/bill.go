package gateway

import (
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/limit"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// A bill is what a request is counted with under each limit that it meets, until its
// use is known. It is the exchange's own.
type bill struct {
	key   limit.Limit // the key's on requests, which is not kept elsewhere
	price *wire.Price // nil: the deployment costs nothing
	holds []hold
	few   [6]hold // holds, where they are few
	told  [2]limit.Decision
	short bool // a limit has refused the request
}

// A hold is what a request is counted with under one limit.
type hold struct {
	lim *limit.Limit
	n   uint64
	of  int64 // period of a budget
}

// enter counts the request, unless that was done when it was looked at by its head.
func (x *inferring) enter(r *request) error {
	if r.head.paid != nil {
		x.bill = *r.head.paid
		return nil
	}
	return x.bill.enter(r, x.at)
}

// enter counts one request at that path under the limits of whoever sends it, before
// anything of it is read.
func (b *bill) enter(r *request, path string) error {
	if err := r.taken(); err != nil {
		return err
	}
	b.holds = b.few[:0]
	if r.who.PerMin > 0 {
		b.key = limit.Limit{ID: r.who.Limit, Of: r.who.Key, Amount: uint64(r.who.PerMin), Scope: limit.OfKey, Deny: r.who.Deny, Slot: &r.who.Rate}
		if err := b.take(r, r.came, &b.key, 1); err != nil {
			return err
		}
	}
	if err := b.requests(r, r.came, r.g.limits.tenant(r.who.Tenant)); err != nil {
		return err
	}
	return b.requests(r, r.came, r.g.limits.endpoint(path))
}

func (b *bill) requests(r *request, now time.Time, limits []limit.Limit) error {
	for i := range limits {
		if l := &limits[i]; l.Unit == limit.Requests {
			if err := b.take(r, now, l, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// reserve counts the request under the deployment's limit on requests, and its prompt
// and the answer to be expected under all limits on tokens and costs.
func (x *inferring) reserve(r *request, d *deployment, check *openai.Request) error {
	x.bill.price = d.GetPrice()
	if len(d.limits) > 0 { // its body may have taken long to come
		if err := x.bill.requests(r, time.Now(), d.limits); err != nil {
			return err
		}
	}
	defer x.bill.standing(r)
	if x.endpoint == openai.CountTokens {
		return nil
	}
	prompt, answer := uint64(max(check.PromptTokens, 1)), uint64(max(expectedTokens(x.endpoint, check), 0))
	for _, limits := range [...][]limit.Limit{r.who.Limits, r.g.limits.tenant(r.who.Tenant), r.g.limits.endpoint(x.at), d.limits} {
		for i := range limits {
			l, n := &limits[i], uint64(0)
			switch l.Unit {
			case limit.Requests:
				continue
			case limit.Tokens:
				if n = prompt + answer; l.Per == limit.Minute && prompt > l.Amount {
					return x.bill.tooLarge(r, l, prompt)
				}
			case limit.Cost:
				if n = costOf(x.bill.price, prompt, 0, answer); n == 0 {
					continue
				}
			}
			if err := x.bill.take(r, time.Now(), l, min(n, l.Amount)); err != nil {
				return err
			}
		}
	}
	return nil
}

// take counts the request with n under the limit, or says why it is refused.
func (b *bill) take(r *request, now time.Time, l *limit.Limit, n uint64) error {
	d := r.g.limiter.TakeAt(r.g.work, now, l, n)
	if d.Shared {
		r.g.metrics.limits[limitShared].Inc()
	}
	if l.Per == limit.Minute && l.Unit != limit.Cost {
		if told := &b.told[l.Unit]; told.Limit == 0 || d.Remaining < told.Remaining || !d.OK {
			*told = d
		}
	}
	if d.OK {
		r.g.metrics.limits[limitAdmitted].Inc()
		b.holds = append(b.holds, hold{l, n, d.Period})
		return nil
	}
	r.g.metrics.limits[limitRefused].Inc()
	r.g.metrics.refused(l)
	b.short = true
	b.standing(r)
	return overspent(l, d, n)
}

// tooLarge refuses what no waiting would admit.
func (b *bill) tooLarge(r *request, l *limit.Limit, prompt uint64) error {
	r.g.metrics.limits[limitRefused].Inc()
	r.g.metrics.refused(l)
	b.short = true
	b.standing(r)
	r.ctx.Response.Header.Set(headerShouldRetry, "false")
	return &spec.Error{Code: spec.CodeRateLimited, Message: "The request's prompt is counted with about " + utoa(prompt) + " tokens, more than " + owned(l) + " limit of " + utoa(l.Amount) + " tokens per minute ever admits.",
		Hint: "Send a shorter prompt, or ask for a higher limit."}
}

// headerShouldRetry tells clients' libraries that waiting some seconds is of no use.
const headerShouldRetry = "X-Should-Retry"

// overspent says which limit refuses the request, and when it would not.
func overspent(l *limit.Limit, d limit.Decision, n uint64) error {
	what := owned(l) + " limit of " + utoa(l.Amount) + " " + l.Unit.String() + " per minute"
	if l.Per != limit.Minute {
		amount := utoa(l.Amount) + " tokens"
		if l.Unit == limit.Cost {
			amount = spec.FormatMoney(l.Amount)
		}
		what = owned(l) + " budget of " + amount + " per " + l.Per.String()
	}
	switch {
	case d.Unknown:
		return &limited{after: d.RetryAfter, err: &spec.Error{Code: spec.CodeLimitUnknown, Param: l.Scope.String(),
			Message: "Whether " + what + " admits the request cannot be found out at present: the node that keeps it does not answer, and the limit says that nothing is admitted then."}}
	case l.Per != limit.Minute:
		left := "spent"
		if d.Remaining > 0 {
			left = "nearly spent: the request is counted with more than is left"
		}
		return &limited{after: d.Reset, budget: true, err: &spec.Error{Code: spec.CodeBudget, Param: l.Scope.String(),
			Message: capital(what) + " is " + left + ". It begins anew at " + time.Now().Add(d.Reset).UTC().Round(time.Second).Format(time.RFC3339) + "."}}
	case l.Unit == limit.Requests:
		return &limited{after: d.RetryAfter, err: &spec.Error{Code: spec.CodeRateLimited, Message: capital(what) + " is spent."}}
	}
	return &limited{after: d.RetryAfter, err: &spec.Error{Code: spec.CodeRateLimited,
		Message: capital(what) + " is spent: the request is counted with " + utoa(n) + ", and " + utoa(d.Remaining) + " are left."}}
}

// owned names whose limit it is, in the middle of a sentence.
func owned(l *limit.Limit) string {
	if l.Scope == limit.OfKey {
		return "the key's"
	}
	return "the " + l.Scope.String() + " " + l.Of + "'s"
}

func capital(s string) string { return string(s[0]-'a'+'A') + s[1:] }

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// standing tells the client where it stands under the tightest limits on requests and
// tokens per minute, as OpenAI's clients read it, and Anthropic's on its own routes.
func (b *bill) standing(r *request) {
	h := &r.ctx.Response.Header
	for u := range rateNames {
		names, d := &rateNames[u], &b.told[u]
		if d.Limit == 0 {
			continue
		}
		var text [32]byte
		h.SetCanonical(names[0], strconv.AppendUint(text[:0], d.Limit, 10))
		h.SetCanonical(names[1], strconv.AppendUint(text[:0], d.Remaining, 10))
		h.SetCanonical(names[2], openai.AppendDuration(text[:0], d.Reset.Milliseconds()))
		if r.head.tells == anthropicErrors {
			h.SetCanonical(names[3], strconv.AppendUint(text[:0], d.Limit, 10))
			h.SetCanonical(names[4], strconv.AppendUint(text[:0], d.Remaining, 10))
			h.SetCanonical(names[5], time.Now().Add(d.Reset).UTC().AppendFormat(text[:0], time.RFC3339))
		}
	}
}

// rateHeaders are by limit.Unit.
var rateHeaders = [2][6]string{
	{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests",
		"Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset"},
	{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens",
		"Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset"},
}

// repay corrects what the request was counted with to what it has used. One that a
// limit has refused has used nothing; else it stays one request, however it ended.
func (x *inferring) repay(o *relay.Outcome) {
	prompt, cached, answer := x.used(o)
	for _, h := range x.bill.holds {
		used := h.n
		switch {
		case x.bill.short:
			used = 0
		case h.lim.Unit == limit.Tokens:
			used = prompt + answer
		case h.lim.Unit == limit.Cost:
			used = costOf(x.bill.price, prompt, cached, answer)
		}
		x.g.limiter.Settle(h.lim, h.n, used, h.of)
	}
	x.bill.holds = nil
}

// giveBack ends the bill of a request that has used nothing.
func (b *bill) giveBack(l *limit.Limiter) {
	for _, h := range b.holds {
		l.Settle(h.lim, h.n, 0, h.of)
	}
	b.holds = nil
}

// used is how many tokens the request has taken. Where an engine that has answered
// does not tell, the prompt's are those that were reckoned from its length.
func (x *inferring) used(o *relay.Outcome) (prompt, cached, answer uint64) {
	switch {
	case o.HasUsage || o.Estimated:
		return uint64(max(o.Usage.Prompt, 0)), uint64(max(o.Usage.Cached, 0)), uint64(max(o.Usage.Completion, 0))
	case o.Err != nil || o.Gone || o.Status >= 400:
		return 0, 0, 0
	}
	return uint64(max(x.Call.PromptTokens, 0)), 0, 0
}

// costOf is what the tokens cost, in billionths of the currency; cached is of prompt.
func costOf(p *wire.Price, prompt, cached, answer uint64) uint64 {
	cached = min(cached, prompt)
	input := p.GetCachedInput()
	if input == 0 {
		input = p.GetInput()
	}
	sum := uint64(0)
	for _, part := range [...][2]uint64{{prompt - cached, p.GetInput()}, {cached, input}, {answer, p.GetOutput()}} {
		hi, lo := bits.Mul64(part[0], part[1])
		if hi >= 1_000_000 {
			return math.MaxInt64
		}
		q, _ := bits.Div64(hi, lo, 1_000_000)
		sum += min(q, math.MaxInt64/4)
	}
	return sum
}
