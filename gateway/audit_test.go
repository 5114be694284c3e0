package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

func auditRig(t *testing.T, entries int) *rig {
	r := newRig(t)
	for i := range entries {
		r.state.audit = append(r.state.audit, &wire.AuditEntry{Seq: uint64(i + 1), AtMs: int64(1000 * i), Actor: "key/a", Action: "keys.create", Target: fmt.Sprint("key:", i),
			Tenant: []string{"t1", "t2"}[i%2], Outcome: "ok", After: `{"name":"<k>"}`, Hash: []byte{byte(i)}})
	}
	r.state.addUser("aud", "t1", "auditor")
	r.state.addUser("aud2", "t1", "auditor", "auditor@t2")
	r.tellState()
	return r
}

func TestAuditLog(t *testing.T) {
	r := auditRig(t, 2500)
	one, two := r.enter("aud"), r.enter("aud2")
	for _, c := range []struct {
		key, query string
		status     int
		first      string // what the first entry has
		entries    int
	}{
		{r.admin, "limit=2", 200, `"seq":2500`, 2}, {r.admin, "limit=2&order=oldest", 200, `"seq":1,`, 2}, {r.admin, "tenant=t2&limit=1", 200, `"seq":2500`, 1},
		{r.admin, "target=key:7", 200, `"target":"key:7"`, 1}, {r.admin, "actor=nobody", 200, "", 0},
		{r.admin, "from=1970-01-01T00:00:10Z&to=12000&order=oldest", 200, `"seq":11,`, 2},
		{r.admin, "from=yesterday", 400, "", 0}, {one, "limit=1", 200, `"seq":2499`, 1}, {one, "tenant=t2", 403, "audit.read on tenant:t2", 0},
		{two, "", 400, "t1, t2", 0}, {two, "tenant=t2&limit=1", 200, `"seq":2500`, 1}, {r.infer, "", 403, "audit.read", 0},
	} {
		res, body := r.do(c.key, "GET", "/admin/v1/audit?"+c.query, "")
		if res.StatusCode != c.status || !strings.Contains(body, c.first) || strings.Count(body, `"seq":`) != c.entries {
			t.Errorf("%s: %d %.300s", c.query, res.StatusCode, body)
		}
	}
}

// TestAuditByActionAndOutcome: pages go on after what does not fit.
func TestAuditByActionAndOutcome(t *testing.T) {
	r := auditRig(t, 2500)
	for i, e := range r.state.audit {
		if i%100 == 0 {
			e.Action, e.Outcome = "keys.revoke", "not_found"
		}
	}
	for query, want := range map[string]int{"action=keys.revoke": 25, "action=keys.*": 2500, "action=keys.create&outcome=ok": 2475, "outcome=not_found": 25, "action=users.*": 0} {
		got, pages := 0, 0
		for cursor := ""; ; pages++ {
			var page struct {
				Data []struct{ Seq uint64 }
				Next string `json:"next_cursor"`
			}
			_, body := r.do(r.admin, "GET", "/admin/v1/audit?limit=1000&"+query+"&cursor="+cursor, "")
			if err := json.Unmarshal([]byte(body), &page); err != nil {
				t.Fatal(body)
			}
			got += len(page.Data)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if got != want || pages > 20 {
			t.Errorf("%s: %d entries in %d pages, want %d", query, got, pages, want)
		}
	}
	if _, body := r.do(r.admin, "GET", "/admin/v1/audit?outcome=not_found", "", "Accept", "application/x-ndjson"); strings.Count(body, "\n") != 25 {
		t.Errorf("as lines: %d", strings.Count(body, "\n"))
	}
}

// TestListsTakeWhatIsDescribed and refuse the rest: a misspelled filter must not
// answer with everything.
func TestListsTakeWhatIsDescribed(t *testing.T) {
	r, doc := newRig(t), document(t)
	for path, item := range doc.Paths.Map() {
		op := item.Get
		if op == nil || op.Parameters.GetByInAndName("query", "limit") == nil || strings.HasPrefix(path, "/v1/") {
			continue // clients of inference send what other servers know, such as beta=true
		}
		for _, query := range []string{"tennant=t1", "limit=1&acter=x", "cursor=%01", "cursor=%ff", "cursor=" + strings.Repeat("a", 4097)} {
			if res, body := r.do(r.admin, "GET", path+"?"+query, ""); res.StatusCode != 400 {
				t.Errorf("%s?%s: %d %.100s", path, query, res.StatusCode, body)
			}
		}
		for _, p := range append(op.Parameters, item.Parameters...) {
			if p.Value.In != "query" {
				continue
			}
			value := map[string]string{"limit": "1", "consistency": "local", "order": "newest", "from": "1", "to": "2", "cursor": ""}[p.Value.Name]
			if res, body := r.do(r.admin, "GET", path+"?"+p.Value.Name+"="+value, ""); res.StatusCode != 200 {
				t.Errorf("%s?%s: %d %.100s", path, p.Value.Name, res.StatusCode, body)
			}
		}
	}
	if res, body := r.do(r.admin, "GET", "/admin/v1/audit?cursor=what", ""); res.StatusCode != 400 || !strings.Contains(body, "next_cursor") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestAuditLines takes the whole log out, an entry on each line, as long as it may be.
func TestAuditLines(t *testing.T) {
	r := auditRig(t, 2500)
	for key, want := range map[string][2]uint64{r.admin: {2500, 1}, r.enter("aud"): {1250, 2}} {
		res, err := r.send(t.Context(), key, "GET", "/admin/v1/audit", "", "Accept", "application/x-ndjson")
		if err != nil {
			t.Fatal(err)
		}
		lines, last := uint64(0), uint64(0)
		for in := bufio.NewScanner(res.Body); in.Scan(); lines++ {
			var e struct {
				Seq   uint64
				After string
			}
			if err := json.Unmarshal(in.Bytes(), &e); err != nil || e.After != `{"name":"<k>"}` || last > 0 && e.Seq != last+want[1] {
				t.Fatalf("%s after %d, %v", in.Text(), last, err)
			}
			last = e.Seq
		}
		res.Body.Close()
		if lines != want[0] || res.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%d lines, %v", lines, res.Header)
		}
	}
}

func TestAuditIsVerified(t *testing.T) {
	r := auditRig(t, 2500)
	if _, body := r.do(r.admin, "GET", "/admin/v1/audit/verify", ""); !strings.Contains(body, `"whole":true,"entries":2500,"first_seq":1,"last_seq":2500`) {
		t.Errorf("%s", body)
	}
	r.state.mu.Lock()
	log := r.state.audit
	r.state.audit = append(append([]*wire.AuditEntry{}, log[:1000]...), log[1001:]...) // between two pages
	r.state.mu.Unlock()
	if _, body := r.do(r.admin, "GET", "/admin/v1/audit/verify", ""); !strings.Contains(body, `"whole":false`) || !strings.Contains(body, "entry 1002 follows 1000") {
		t.Errorf("with a gap: %s", body)
	}
}

// TestLastUseIsToldInOneCommand when a minute has passed, or the gateway ends.
func TestLastUseIsToldInOneCommand(t *testing.T) {
	r := newRig(t)
	before := time.Now().UnixMilli()
	for range 5 {
		r.do(r.infer, "GET", "/v1/models", "")
		r.do(r.admin, "GET", "/v1/models", "")
	}
	r.do(r.enter("u1"), "GET", "/v1/models", "")
	index := r.state.Index()
	if err := r.g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	uses := r.state.last.GetTouchKeys().GetUses()
	if r.state.Index() != index+1 || len(uses) != 2 || uses[0].Id != "admxxxx" || uses[1].AtMs < before || uses[1].AtMs > time.Now().UnixMilli() {
		t.Errorf("%d commands, the last %v", r.state.Index()-index, r.state.last)
	}
}

// TestATenantsAuditorSeesWhatWasTried with the tenant's keys and users.
func TestATenantsAuditorSeesWhatWasTried(t *testing.T) {
	r := newRig(t)
	far, chat := r.state.addKey("far", "t1", 0, "infer"), r.state.addKey("cha", "t1", 0, "infer")
	r.state.keys["farxxxx"].Addresses, r.state.keys["chaxxxx"].Endpoints = []string{"10.0.0.0/8"}, []string{"/v1/chat/*"}
	r.tellState()
	r.do("", "POST", "/auth/v1/login", `{"name":"u1-name","password":"guess"}`)
	r.do(auth.Format("infxxxx", strings.Repeat("b", 32)), "GET", "/v1/models", "")
	r.do(far, "GET", "/v1/models", "")
	r.do(chat, "GET", "/v1/models", "")
	ended := r.enter("u1")
	r.do(ended, "POST", "/auth/v1/logout", "")
	r.do(ended, "GET", "/v1/models", "")
	r.do("", "POST", "/auth/v1/refresh", `{"refresh_token":"lbr-s1-secret"}`)
	r.do("", "POST", "/auth/v1/refresh", `{"refresh_token":"lbr-s1-guessed-secret"}`)
	r.do("eyJ"+ended[3:len(ended)-4]+"AAAA", "GET", "/v1/models", "")
	if err := r.g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range r.state.audit {
		got[e.Action+" "+e.Target+" "+e.Outcome] = e.Tenant
	}
	for _, want := range []string{"sessions.login user:u1 login_failed", "access.identify key:infxxxx invalid_api_key", "keys.use key:farxxxx address_not_allowed", "keys.use key:chaxxxx endpoint_not_allowed",
		"access.identify session:s1 session_ended", "sessions.refresh session:s1 session_ended"} {
		if got[want] != "t1" {
			t.Errorf("%s is not of t1: %v", want, got)
		}
	}
	for _, want := range []string{"access.identify session:? invalid_access_token", "sessions.refresh session:? invalid_refresh_token"} { // whoever says so is nobody's
		if tenant, noted := got[want]; !noted || tenant != "" {
			t.Errorf("%s is of %q: %v", want, tenant, got)
		}
	}
}

// TestRefusalsAreAudited: a line for many of the like.
func TestRefusalsAreAudited(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.do(r.infer, "GET", "/admin/v1/settings", "")
		r.do("lb-none", "GET", "/v1/models", "")
	}
	if err := r.g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"key/infxxxx 127.0.0.1 access.denied cluster permission_denied settings.read 3",
		"gateway/n1 127.0.0.1 access.identify key:? invalid_api_key  3",
	} {
		found := false
		for _, e := range r.state.audit {
			found = found || want == fmt.Sprint(e.Actor, " ", e.From, " ", e.Action, " ", e.Target, " ", e.Outcome, " ", e.Message, " ", e.Count)
		}
		if !found {
			t.Errorf("no entry has %s in %v", want, r.state.audit)
		}
	}
}
