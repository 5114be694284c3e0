package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// A purse owns limits of which nothing comes back by itself.
type purse struct {
	sync.Mutex
	spent map[string]int64
	down  bool
}

func (p *purse) Lease(_ context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	p.Lock()
	defer p.Unlock()
	if p.down {
		return nil, errors.New("nobody is there")
	}
	amount, back := int64(r.GetPerMinute()), int64(r.GetGiveBack())
	if b := r.GetBudget(); b != nil {
		amount, back = int64(b.GetAmount()), int64(b.GetGiveBack())
	}
	p.spent[r.GetLimit()] += int64(r.GetDebt()) - back
	room, granted := amount-p.spent[r.GetLimit()], int64(r.GetNeed())
	if granted > room {
		granted = 0
	}
	p.spent[r.GetLimit()] += granted
	g := &wire.QuotaGrant{Granted: uint32(granted), TtlMs: 60_000, RetryAfterMs: 1500, Remaining: uint32(max(room-granted, 0))}
	if r.GetBudget() != nil {
		g.Budget = &wire.BudgetGrant{Granted: uint64(granted), Remaining: uint64(max(room-granted, 0)), PeriodMs: 7, ResetMs: 3_600_000}
	}
	return g, nil
}

func (p *purse) of(limit string) int64 {
	p.Lock()
	defer p.Unlock()
	return p.spent[limit]
}

// billed is a rig whose model answers with 10 tokens of a prompt and as many as the
// test says of an answer.
func billed(t *testing.T, serve http.HandlerFunc) (*rig, *purse) {
	p := &purse{spent: map[string]int64{}}
	r := newRig(t, func(c *gateway.Config) { c.Quota = p })
	if serve == nil {
		serve = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":30,"total_tokens":40}}`)
		}
	}
	r.node("n1", "north", 8, serve)
	return r, p
}

// puts writes by the admin API.
func (r *rig) puts(path, body string) {
	r.t.Helper()
	if res, text := r.do(r.admin, "PUT", "/admin/v1/"+path, body); res.StatusCode != 200 {
		r.t.Fatalf("%s: %d %s", path, res.StatusCode, text)
	}
}

const shortBody = `{"model":"m","max_tokens":90,"messages":[{"role":"user","content":"hi"}]}`

// TestTokensAreReservedAndSettled, with the tenant's and the deployment's limits told in headers.
func TestTokensAreReservedAndSettled(t *testing.T) {
	r, _ := billed(t, nil)
	r.puts("tenants/t1", `{"name":"one","tokens_per_minute":200,"requests_per_minute":9}`)
	for i, left := range []string{"", "160"} { // 40 were used of the 92 or so that were reserved
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody)
		h := res.Header
		if res.StatusCode != 200 || h.Get("X-Ratelimit-Limit-Tokens") != "200" || h.Get("X-Ratelimit-Reset-Tokens") == "" || h.Get("X-Ratelimit-Limit-Requests") != "9" {
			t.Fatalf("%d %s %v", res.StatusCode, body, h)
		}
		if i == 1 && h.Get("X-Ratelimit-Remaining-Requests") != "7" {
			t.Errorf("requests left: %s, want 7 of 9; tokens %s of %s", h.Get("X-Ratelimit-Remaining-Requests"), h.Get("X-Ratelimit-Remaining-Tokens"), left)
		}
	}
	// 80 are used; the next two leave room for what they use, and not for what another reserves.
	for range 2 {
		_, _ = r.do(r.infer, "POST", "/v1/chat/completions", shortBody)
	}
	res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody)
	if res.StatusCode != 429 || codeOf(t, body) != "rate_limit_exceeded" || !strings.Contains(body, "tenant t1's limit of 200 tokens per minute") {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if res.Header.Get("Retry-After-Ms") == "" || res.Header.Get("Retry-After") != "2" || res.Header.Get("X-Should-Retry") != "" {
		t.Errorf("%v", res.Header)
	}
	long := strings.Replace(shortBody, "hi", strings.Repeat("word ", 400), 1)
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", long); res.StatusCode != 429 || res.Header.Get("X-Should-Retry") != "false" || !strings.Contains(body, "ever admits") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestCancelledIsRefunded: a client that leaves before the first token has used nothing.
func TestCancelledIsRefunded(t *testing.T) {
	began := make(chan struct{}, 1)
	r, p := billed(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // else the server does not see its client leave
		began <- struct{}{}
		<-q.Context().Done()
	})
	r.state.keys["infxxxx"].Limits = &wire.Limits{TokensPerMinute: 1000}
	r.state.fn(gateway.Change{Index: 11, Records: []gateway.Ref{{Kind: gateway.KindKey, ID: "infxxxx"}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if res, err := r.send(ctx, r.infer, "POST", "/v1/chat/completions", strings.Replace(streamBody, `"m"`, `"m","max_tokens":500`, 1)); err == nil {
		res.Body.Close()
	}
	if p.of("key/infxxxx/tpm") < 100 {
		t.Fatalf("%d were reserved", p.of("key/infxxxx/tpm"))
	}
	_ = r.g.Shutdown(t.Context()) // which gives back what was not used
	if got := p.of("key/infxxxx/tpm"); got != 0 {
		t.Errorf("%d tokens are spent on a request that was cancelled", got)
	}
}

// TestBudgetOfMoney ends with a code of its own, and says until when.
func TestBudgetOfMoney(t *testing.T) {
	r, p := billed(t, nil)
	r.puts("deployments/m", `{"engine":"embedded","model":"","options":{"weights":"x"},"price_input":"1","price_output":"10","cost_per_day":"0.001"}`)
	r.node("n1", "north", 8, nil)
	_, seen := r.do(r.admin, "GET", "/admin/v1/deployments", "")
	if !strings.Contains(seen, `"price_output":"10.00"`) || !strings.Contains(seen, `"cost_per_day":"0.001"`) {
		t.Fatalf("shown as %s", seen)
	}
	for range 2 { // each costs 310 millionths, and is reckoned at 900
		if res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		if res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody); res.StatusCode == 429 {
			if codeOf(t, body) != "budget_exceeded" || !strings.Contains(body, "deployment m's budget of 0.001 per day") || !strings.Contains(body, "insufficient_quota") ||
				res.Header.Get("X-Should-Retry") != "false" || res.Header.Get("Retry-After") != "3600" {
				t.Fatalf("%s %v", body, res.Header)
			}
			break
		}
	}
	_ = r.g.Shutdown(t.Context())
	if got := p.of("deployment/m/cpd"); got%310_000 != 0 || got == 0 {
		t.Errorf("%d billionths are spent, want some times 310000", got)
	}
}

// TestNoOwner: budgets refuse, rates are shared, and each may be had the other way.
func TestNoOwner(t *testing.T) {
	for name, c := range map[string]struct {
		limits string
		want   int
	}{
		"a rate is shared": {`{"tokens_per_minute":10000}`, 200}, "a budget refuses": {`{"tokens_per_day":10000}`, 503},
		"a rate refuses": {`{"tokens_per_minute":10000,"on_partition":"deny"}`, 503}, "a budget is shared": {`{"tokens_per_day":10000,"on_partition":"share"}`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			r, p := billed(t, nil)
			r.puts("tenants/t1", c.limits)
			p.down = true
			res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody)
			if res.StatusCode != c.want || c.want == 503 && (codeOf(t, body) != string(spec.CodeLimitUnknown) || res.Header.Get("Retry-After") == "") {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
}

// TestEndpointLimit is of all who ask there, by a setting.
func TestEndpointLimit(t *testing.T) {
	r, _ := billed(t, nil)
	r.puts("settings/limits/endpoints", `{"value":"{\"/v1/*\":{\"requests_per_minute\":2},\"/v1/embeddings\":{\"requests_per_minute\":50}}"}`)
	other := r.state.addKey("oth", "t2", 0, "infer")
	r.state.fn(gateway.Change{Index: 99, Reset: true})
	for _, key := range []string{r.infer, other} {
		if res, body := r.do(key, "POST", "/v1/chat/completions", shortBody); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody)
	if res.StatusCode != 429 || !strings.Contains(body, "The endpoint /v1/*'s limit of 2 requests per minute is spent.") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, bad := range []string{`[]`, `{"v1":{}}`, `{"/v1/*":{"rpm":1}}`, `{"/v1/*":{"cost_per_day":"x"}}`} {
		if res, text := r.do(r.admin, "PUT", "/admin/v1/settings/limits/endpoints", `{"value":`+quoted(bad)+`}`); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, res.StatusCode, text)
		}
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// TestLimitsAreKept: what a request does not name stays for tenants and keys, and goes for deployments.
func TestLimitsAreKept(t *testing.T) {
	r := newRig(t)
	r.puts("tenants/t1", `{"name":"one","tokens_per_day":5,"cost_per_month":"12.5","on_partition":"share"}`)
	r.puts("tenants/t1", `{"name":"two"}`)
	if l := r.state.tenants["t1"].GetLimits(); l.GetTokensPerDay() != 5 || l.GetCostPerMonth() != 12_500_000_000 || l.GetOnPartition() != "share" {
		t.Errorf("the tenant's limits are %v", l)
	}
	r.puts("tenants/t1", `{"tokens_per_day":0,"cost_per_month":"","on_partition":""}`)
	if l := r.state.tenants["t1"].GetLimits(); l != nil {
		t.Errorf("the tenant's limits are %v", l)
	}
	for body, field := range map[string]string{`{"tokens_per_day":-1}`: "tokens_per_day", `{"cost_per_day":"1,5"}`: "cost_per_day", `{"cost_per_day":1}`: "cost_per_day", `{"on_partition":"ask"}`: "on_partition"} {
		if res, text := r.do(r.admin, "PUT", "/admin/v1/tenants/t1", body); res.StatusCode != 400 || !strings.Contains(text, field) {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
	res, text := r.do(r.admin, "PATCH", "/admin/v1/keys/infxxxx", `{"tokens_per_minute":70,"cost_per_day":"3"}`)
	if res.StatusCode != 200 || !strings.Contains(text, `"cost_per_day":"3.00"`) {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	if res, text = r.do(r.admin, "PATCH", "/admin/v1/keys/infxxxx", `{"name":"other"}`); !strings.Contains(text, `"tokens_per_minute":70`) {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if res, text := r.do(r.admin, "PATCH", "/admin/v1/keys/infxxxx", `{"cost_per_day":"x"}`); res.StatusCode != 400 {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// TestRefusedByItsHeadHasUsedNothing: what other limits have counted of a request comes back, where it is
// refused before its body is sent too.
func TestRefusedByItsHeadHasUsedNothing(t *testing.T) {
	r, _ := billed(t, nil)
	r.puts("tenants/t1", `{"name":"one","requests_per_minute":2}`)
	key := r.state.addKey("few", "t1", 9, "infer")
	r.tellState()
	for i, want := range []int{200, 200, 429, 429} {
		if res, body := r.do(key, "POST", "/v1/chat/completions", shortBody, "Expect", "100-continue"); res.StatusCode != want {
			t.Fatalf("request %d: %d %s", i, res.StatusCode, body)
		}
	}
	own := r.limits(key, "/v1/limits").Data
	if len(own) == 0 || own[0].Scope != "key" || own[0].Used == nil || *own[0].Used != 2 {
		t.Errorf("two requests and two that were refused have used %+v", own)
	}
}
