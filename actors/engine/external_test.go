package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func expect(t *testing.T, err error, code, text string) {
	t.Helper()
	var known *spec.Error
	if !errors.As(err, &known) || string(known.Code) != code || !strings.Contains(known.Message+" "+known.Hint+" "+known.Param, text) {
		t.Errorf("%v, want %s with %q", err, code, text)
	}
}

func externalSpec(options map[string]string) Spec {
	return Spec{Instance: "ext-1", Deployment: "ext", Preset: External, Options: options}
}

// openExternal opens an engine that may be at url.
func openExternal(t *testing.T, url string, more map[string]string) Engine {
	t.Helper()
	options := map[string]string{"url": url}
	for k, v := range more {
		options[k] = v
	}
	e, err := New(Config{ExternalURLs: []string{url}}).Open(externalSpec(options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

func TestExternal(t *testing.T) {
	var header http.Header
	var left atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("GET /base/v1/models", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /base/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `vllm:num_requests_running{model_name="m"} 2`+"\n"+`vllm:num_requests_waiting{model_name="m"} 1`+"\n"+`vllm:kv_cache_usage_perc 0.5`)
	})
	mux.HandleFunc("POST /base/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "data: %s\n\n", body)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		left.Store(true)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	e := openExternal(t, server.URL+"/base/", map[string]string{"model": "m", "metrics": "vllm"})
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.Slots() != externalSlots || e.Context() != 0 || closed(e.Done()) {
		t.Errorf("%d slots of %d, done %t", e.Slots(), e.Context(), closed(e.Done()))
	}
	if l, err := e.Load(t.Context()); err != nil || l != (Load{Known: true, Running: 2, Queued: 1, KVUse: 0.5}) {
		t.Errorf("%+v, %v", l, err)
	}
	r, err := e.Do(t.Context(), "/v1/chat/completions", Head{
		CacheSalt: "t1", RequestID: "r1", TraceParent: "00-1", Stream: true,
	}, []byte(`{"model":"ext"}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = "data: {\"model\":\"m\"}\n\n"
	line := make([]byte, len(want))
	if _, err := io.ReadFull(r.Body, line); err != nil || string(line) != want {
		t.Errorf("%q, %v", line, err)
	}
	for name, want := range map[string]string{
		cacheSalt: "", "Authorization": "", "Cookie": "", "X-Request-Id": "82f3e9c6-95dc-8b8d-9b11-818d5701919e", "X-Lotabots-Request-Id": "r1", "Traceparent": "00-1", "Accept": "text/event-stream", "Content-Type": "application/json",
		"Accept-Encoding": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	r.Body.Close()
	until(t, 30*time.Second, "the engine learns that its client has left", left.Load)
	stop(t, e)
	if _, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, nil); err == nil {
		t.Error("a stopped engine answers")
	}
}

// A redirect is an answer that nobody follows: it might lead anywhere.
func TestExternalRedirect(t *testing.T) {
	var reached atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		e := openExternal(t, server.URL, nil)
		_, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{}`))
		expect(t, err, "engine_error", "redirect")
		if err := e.Healthy(t.Context()); err == nil {
			t.Errorf("%d counts as health", status)
		}
		server.Close()
	}
	if reached.Load() {
		t.Error("a redirect was followed")
	}
}

func TestExternalStart(t *testing.T) {
	var ready atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/well" && !ready.Swap(true):
			w.WriteHeader(http.StatusServiceUnavailable) // it is still loading
		case r.URL.Path != "/well":
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	if err := openExternal(t, server.URL, map[string]string{"health": "/well"}).Start(t.Context()); err != nil {
		t.Errorf("it gets well, and yet: %v", err)
	}
	expect(t, openExternal(t, server.URL, nil).Start(t.Context()), "engine_start_failed", "401")

	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	expect(t, openExternal(t, server.URL, nil).Start(ctx), "engine_start_failed", "does not answer")

	e := openExternal(t, server.URL, nil)
	time.AfterFunc(20*time.Millisecond, func() { stop(t, e) })
	begin := time.Now()
	if err := e.Start(t.Context()); err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("a stopped start: %v after %s", err, time.Since(begin))
	}
}

// A host that is listed by name may be moved anywhere by whoever has its zone.
func TestExternalNameAtALoopbackAddress(t *testing.T) {
	var asked atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer server.Close()
	e := openExternal(t, server.URL, nil).(*external)
	dial := Config{}.Egress.Dial("engine.example:80", time.Second) // as if the URL had named it
	e.web.client.Transport.(*http.Transport).DialContext = dial
	e.web.near.Dial = func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", e.web.base.Host) }
	expect(t, e.Start(t.Context()), "engine_unavailable", "loopback address")
	if _, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{}`)); spec.CodeOf(err) != spec.CodeEngineUnavailable {
		t.Error(err)
	}
	if asked.Load() {
		t.Error("it was asked")
	}
}

// No proxy of the node's is asked about engines.
func TestExternalNeedsNoProxy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	e := openExternal(t, server.URL, nil).(*external)
	if e.web.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("it has one")
	}
}
