package actors

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/batch"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
)

// telling is an engine that tells of 27 cached tokens in whatever it is asked, in pieces that cut names and numbers.
func telling(t *testing.T) *stub {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(http.ResponseWriter, *http.Request) {})
	say := func(path, kind, text string) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			for at := 0; at < len(text); at += 7 {
				_, _ = io.WriteString(w, text[at:min(at+7, len(text))])
				_ = http.NewResponseController(w).Flush()
			}
		})
	}
	const usage = `"usage":{"prompt_tokens":30,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":27}},"timings":{"cache_n":27,"prompt_n":3,"prompt_ms":27.27}`
	say("/whole", "application/json", `{"choices":[{"message":{"content":"\"cached_tokens\":27"}}],`+usage+`}`)
	say("/stream", "text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[],"+usage+"}\n\ndata: [DONE]\n\n")
	say("/sound", "audio/wav", usage)
	say("/v1/messages", "application/json", `{"usage":{"input_tokens":3,"cache_read_input_tokens":27}}`)
	s := &stub{Server: httptest.NewServer(mux)}
	t.Cleanup(s.Close)
	return s
}

// TestCacheIsHiddenFromOthers: what an engine that mixes tenants tells of its cache passes while one tenant alone uses
// it, and is hidden from all, that one too, since another came.
func TestCacheIsHiddenFromOthers(t *testing.T) {
	e := telling(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	told := func(target spec.Target, tenant, path string) (text string, status int, hides bool) {
		t.Helper()
		c := call(path, path == "/stream")
		c.Tenant = tenant
		s := mustOpen(t, n, target, c)
		raw, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw), s.Status(), s.(spec.Hiding).Hides()
	}
	seen := map[string]string{}
	for _, path := range []string{"/whole", "/stream", "/sound", "/v1/messages"} {
		text, status, hides := told(target, "one", path)
		if seen[path] = text; hides || status != 200 || !strings.Contains(text, ":27") {
			t.Errorf("%s, alone: hides %t, %d, %s", path, hides, status, text)
		}
	}
	for _, tenant := range []string{"two", "one", "two"} {
		for _, path := range []string{"/whole", "/stream"} {
			text, _, hides := told(target, tenant, path)
			want := strings.NewReplacer(`_tokens":27`, `_tokens":0 `, `cache_n":27`, `cache_n":0 `, `prompt_n":3`, `prompt_n":0`, `27.27`, `0    `).Replace(seen[path])
			if text != want || !hides {
				t.Errorf("%s, to %s: hides %t\n%s\nwant\n%s", path, tenant, hides, text, want)
			}
		}
		if text, _, _ := told(target, tenant, "/sound"); text != seen["/sound"] {
			t.Errorf("sound became %q", text)
		}
		if text, status, _ := told(target, tenant, "/v1/messages"); status != http.StatusNotFound || strings.Contains(text, "input_tokens") {
			t.Errorf("Messages: %d, %s", status, text)
		}
	}
	if got, want := gathered(t, n, "lotabots_actor_tokens_total"), float64(12*31); got != want {
		t.Errorf("%v tokens were learnt, want %v", got, want)
	}
	again := n.loadStub(t, e, "j", 2, 2) // an engine's start is a beginning
	if text, _, hides := told(again, "two", "/whole"); hides || text != seen["/whole"] {
		t.Errorf("another engine's: hides %t, %s", hides, text)
	}
	c := call("/whole", false)
	c.Gateway = batch.Gateway // of several tenants
	if raw, err := io.ReadAll(mustOpen(t, n, again, c)); err != nil || strings.Contains(string(raw), `_tokens":27`) {
		t.Errorf("put together: %v, %s", err, raw)
	}
}

// apartOf is an engine that keeps tenants apart.
type apartOf struct{ engine.Engine }

// TestOrdinaryAnswersAreNotLookedAt: where there is nothing to hide a request costs nothing more.
func TestOrdinaryAnswersAreNotLookedAt(t *testing.T) {
	e, x, c := engine.Engine(apartOf{}), stream{}, call("/whole", false)
	for i := range 3 {
		c.Tenant = fmt.Sprint(i)
		if x.sharing(e, &c); x.tenants != nil || x.Hides() {
			t.Fatal("an engine that keeps tenants apart hides something")
		}
	}
	if n := testing.AllocsPerRun(100, func() { x.sharing(e, &c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
