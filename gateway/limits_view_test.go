package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

type limitsShown struct {
	Data []struct {
		Scope, Name, Tenant, Unit, Per string
		Limit                          uint64
		Used, Remaining                *uint64
		ResetMS                        *int64 `json:"reset_ms"`
		Partition                      string `json:"on_partition"`
	}
}

func (r *rig) limits(token, path string) (out limitsShown) {
	r.t.Helper()
	res, body := r.do(token, "GET", path, "")
	if res.StatusCode != 200 {
		r.t.Fatalf("%s: %d %s", path, res.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// line is one limit in short: what is used of it.
func (l limitsShown) lines() (out []string) {
	for _, d := range l.Data {
		text := strings.Join([]string{d.Scope, d.Name, d.Unit, d.Per, d.Partition}, " ")
		switch {
		case d.Used == nil && d.Remaining == nil && d.ResetMS == nil:
			text += " ?"
		case d.Used == nil || d.Remaining == nil || d.ResetMS == nil || *d.Used+*d.Remaining != d.Limit:
			text += " wrong"
		case *d.Used == 0:
			text += " unused"
		default:
			text += " used"
		}
		out = append(out, text)
	}
	return out
}

// TestLimitsAreShown to whoever may see them: what is used, left, and when it is whole again.
func TestLimitsAreShown(t *testing.T) {
	r, p := billed(t, nil)
	r.puts("tenants/t1", `{"name":"one","tokens_per_minute":200,"tokens_per_day":1000,"requests_per_minute":9}`)
	r.puts("settings/limits%2Fendpoints", `{"value":"{\"/v1/embeddings\":{\"requests_per_minute\":5}}"}`)
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	own := r.limits(r.infer, "/v1/limits")
	for end := time.Now().Add(30 * time.Second); *own.Data[len(own.Data)-1].Used != 40 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		own = r.limits(r.infer, "/v1/limits") // what was used is settled when the answer has gone out
	}
	said := strings.Join(own.lines(), "\n")
	if said != "tenant t1 requests minute share used\ntenant t1 tokens minute share used" {
		t.Fatalf("its own are\n%s", said)
	}
	tenants := r.limits(r.admin, "/admin/v1/limits?tenant=t1").lines()
	if want := said + "\ntenant t1 tokens day deny used"; strings.Join(tenants, "\n") != want {
		t.Fatalf("the tenant's are %v", tenants)
	}
	said = strings.Join(tenants, "\n")
	for _, d := range own.Data {
		want := map[string]uint64{"requests": 1, "tokens": 40}[d.Unit] // not what was reserved
		if *d.Used != want {
			t.Errorf("%d of %s are used, want %d", *d.Used, d.Unit, want)
		}
		at := time.Until(time.UnixMilli(*d.ResetMS))
		if most := map[string]time.Duration{"minute": time.Minute, "day": 24 * time.Hour}[d.Per]; at < -time.Minute || at > most {
			t.Errorf("%s per %s are whole again in %s", d.Unit, d.Per, at)
		}
	}
	all := strings.Join(r.limits(r.admin, "/admin/v1/limits").lines(), "\n")
	if !strings.Contains(all, "endpoint /v1/embeddings requests minute share unused") || !strings.Contains(all, said) {
		t.Errorf("all are\n%s", all)
	}
	if at := r.limits(r.admin, "/admin/v1/limits?endpoint=/v1/embeddings").lines(); len(at) != 1 {
		t.Errorf("the endpoint's are %v", at)
	}
	for path, want := range map[string]int{"?key=none": 404, "?deployment=none": 404, "?deployment=m": 200,
		"?tenant=none": 404, "?tenant=none&deployment=m": 404} {
		if res, body := r.do(r.admin, "GET", "/admin/v1/limits"+path, ""); res.StatusCode != want {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	if res, _ := r.do(r.infer, "GET", "/admin/v1/limits?tenant=t1", ""); res.StatusCode != 403 {
		t.Errorf("a key for inference alone reads the tenant's: %d", res.StatusCode)
	}
	_, made := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"small","tenant":"t1","requests_per_minute":20,"tokens_per_minute":50}`)
	var small struct{ Key, ID string }
	if err := json.Unmarshal([]byte(made), &small); err != nil || small.Key == "" {
		t.Fatal(made, err)
	}
	if got := r.limits(small.Key, "/v1/limits").lines(); strings.Join(got, "\n") != "key "+small.ID+" requests minute share unused\nkey "+small.ID+" tokens minute share unused\ntenant t1 requests minute share used" {
		t.Errorf("of the tenant's limits a key with less of its own is shown %q", got)
	}
	r.puts("tenants/t1", `{"name":"one","tokens_per_day":10}`)
	if got := r.limits(small.Key, "/v1/limits").lines(); got[len(got)-1] != "tenant t1 tokens day deny used" {
		t.Errorf("of a budget that is spent it is shown %q", got)
	}
	r.puts("tenants/t1", `{"name":"one","tokens_per_minute":200,"tokens_per_day":1000,"requests_per_minute":9}`)
	p.Lock()
	p.down = true
	p.Unlock()
	for _, l := range r.limits(r.infer, "/v1/limits").lines() {
		if !strings.HasSuffix(l, " ?") {
			t.Errorf("with no owner: %s", l)
		}
	}
}

// TestAKeysLimitsAreAll: its requests per minute, which its record has apart, and the others.
func TestAKeysLimitsAreAll(t *testing.T) {
	r, _ := billed(t, nil)
	res, body := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"k","scopes":["infer"],"tenant":"t1","requests_per_minute":7,"tokens_per_minute":50,"cost_per_month":"9","on_partition":"deny"}`)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || res.StatusCode >= 300 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	said := strings.ReplaceAll(strings.Join(r.limits(r.admin, "/admin/v1/limits?key="+made.ID).lines(), "\n"), made.ID, "ID")
	if said != "key ID requests minute deny unused\nkey ID tokens minute deny unused\nkey ID cost month deny unused" {
		t.Errorf("the key's are\n%s", said)
	}
}

// TestTooManyLimits are refused, and those of a part of them are shown.
func TestTooManyLimits(t *testing.T) {
	r, _ := billed(t, nil)
	for i := range 101 {
		r.puts(fmt.Sprint("tenants/many", i), `{"name":"m","requests_per_minute":1,"tokens_per_minute":1,"tokens_per_day":1,"tokens_per_month":1,"cost_per_day":"1"}`)
	}
	if res, body := r.do(r.admin, "GET", "/admin/v1/limits", ""); res.StatusCode != 400 || !strings.Contains(body, "So many limits") {
		t.Errorf("505 limits and more: %d %s", res.StatusCode, body)
	}
	if got := r.limits(r.admin, "/admin/v1/limits?tenant=many7").lines(); len(got) != 5 {
		t.Errorf("one tenant's are %v", got)
	}
}

// TestLimitsOfWhatIsGoneAreForgotten: a gateway keeps nothing of them.
func TestLimitsOfWhatIsGoneAreForgotten(t *testing.T) {
	r, _ := billed(t, nil)
	r.puts("deployments/m", `{"engine":"embedded","model":"","options":{"weights":"x"},"tokens_per_minute":1000}`)
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", shortBody); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	held := func() string {
		_, shown := r.do("", "GET", "/metrics", "")
		_, rest, _ := strings.Cut(shown, `lotabots_gateway_limiter_limits{state="held"} `)
		n, _, _ := strings.Cut(rest, "\n")
		return n
	}
	if held() != "1" {
		t.Fatalf("%s limits are held", held())
	}
	if res, body := r.do(r.admin, "DELETE", "/admin/v1/deployments/m", ""); res.StatusCode >= 300 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	eventually(t, "the limit is forgotten", func() bool { return held() == "0" })
}
