package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// node is one endpoint, and how often it was asked.
type node struct {
	url   string
	asked atomic.Int32
}

func serve(t *testing.T, h http.HandlerFunc) *node {
	t.Helper()
	n := &node{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	n.url = s.URL
	return n
}

// fails answers with an error of the API's.
func fails(t *testing.T, status int, code string) *node {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":{"code":"`+code+`","message":"It failed.","hint":"Wait.","request_id":"from-body"}}`)
	})
}

func says(t *testing.T, text string) *node {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"said":"`+text+`"}`) })
}

// dead is an endpoint that refuses connections.
func dead(t *testing.T) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &node{url: "http://" + l.Addr().String()}
}

// breaks takes the request and hangs up.
func breaks(t *testing.T) *node {
	return serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

func of(t *testing.T, nodes ...*node) *Client {
	t.Helper()
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.url)
	}
	c := New("secret", urls...)
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func said(t *testing.T, c *Client, method string, in any) (string, error) {
	t.Helper()
	var out struct{ Said string }
	err := c.Do(t.Context(), method, "/x", in, &out)
	return out.Said, err
}

func TestEndpointsAreTriedInOrder(t *testing.T) {
	a, b := says(t, "a"), says(t, "b")
	if got, err := said(t, of(t, a, b), "GET", nil); got != "a" || err != nil || b.asked.Load() != 0 {
		t.Errorf("got %q, %v; b was asked %d times", got, err, b.asked.Load())
	}
	for name, n := range map[string]*node{
		"dead": dead(t), "no leader": fails(t, 503, "no_leader"), "draining": fails(t, 503, "node_draining"), "stale": fails(t, 503, "state_too_old"),
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if got, err := said(t, of(t, n, b), method, map[string]int{"n": 1}); got != "b" || err != nil {
				t.Errorf("%s, %s: got %q, %v", name, method, got, err)
			}
		}
	}
}

func TestWhatIsNotPassedOn(t *testing.T) {
	next := says(t, "next")
	for _, n := range []*node{fails(t, 404, "not_found"), fails(t, 401, "invalid_api_key"), fails(t, 503, "outcome_unknown"), fails(t, 500, "internal")} {
		if got, err := said(t, of(t, n, next), "GET", nil); err == nil {
			t.Errorf("got %q", got)
		}
	}
	broken := breaks(t)
	if _, err := said(t, of(t, broken, next), "POST", map[string]int{"n": 1}); err == nil || broken.asked.Load() != 1 {
		t.Errorf("a POST that may have been carried out was passed on, or %v", err)
	}
	if _, err := said(t, of(t, fails(t, 503, "no_leader"), next), "PUT", io.Reader(strings.NewReader("once"))); err == nil {
		t.Error("a reader was sent twice")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := of(t, dead(t), next).Do(gone, "GET", "/x", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if next.asked.Load() != 0 {
		t.Errorf("the next was asked %d times", next.asked.Load())
	}
	if got, err := said(t, of(t, broken, next), "PUT", map[string]int{"n": 1}); got != "next" {
		t.Errorf("a PUT that broke: %q, %v", got, err)
	}
	if err := New("").Do(t.Context(), "GET", "/x", nil, nil); !errors.Is(err, errNoEndpoint) {
		t.Errorf("without an endpoint: %v", err)
	}
	if _, err := said(t, of(t, next), "GET", func() {}); err == nil {
		t.Error("what is no JSON was sent")
	}
}

func TestTheLastErrorIsReturned(t *testing.T) {
	_, err := said(t, of(t, dead(t), fails(t, 503, "no_leader")), "GET", nil)
	var api *APIError
	if !errors.As(err, &api) || api.Code != "no_leader" || api.Status != 503 {
		t.Errorf("got %v", err)
	}
	d := dead(t)
	if _, err := said(t, of(t, d), "GET", nil); err == nil || !strings.Contains(err.Error(), d.url) {
		t.Errorf("who gave no answer is not said: %v", err)
	}
}

func TestARequestSaysWhoAsks(t *testing.T) {
	var in struct{ N int }
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" || r.URL.Path != "/x" {
			t.Errorf("got %s %v", r.URL, r.Header)
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
	})
	c := of(t, &node{url: n.url + "/"})
	if err := c.Do(t.Context(), "POST", "/x", map[string]int{"N": 5}, nil); err != nil || in.N != 5 {
		t.Errorf("got %v, %v", in, err)
	}
	n = serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if len(r.Header.Values("Authorization")) != 0 {
			t.Errorf("an empty key was sent: %v", r.Header)
		}
	})
	if err := New("", strings.TrimPrefix(n.url, "http://")).Do(t.Context(), "GET", "/", nil, nil); err != nil {
		t.Errorf("an endpoint without a scheme: %v", err)
	}
}

func TestErrorsReadWell(t *testing.T) {
	for name, c := range map[string]struct {
		header, body, want string
		status             int
	}{
		"ours":         {"h-1", `{"error":{"code":"not_found","message":"No such key.","hint":"Look.","request_id":"b-1"}}`, "No such key. (not_found, HTTP 404)\n  what to do: Look.\n  request id: h-1", 404},
		"id in body":   {"", `{"error":{"code":"not_found","message":"No.","request_id":"b-1"}}`, "No. (not_found, HTTP 404)\n  request id: b-1", 404},
		"no code":      {"", `{"error":{"message":"No."}}`, "No. (unknown, HTTP 400)", 400},
		"odd code":     {"", `{"error":{"message":"No.","code":7}}`, `{"error":{"message":"No.","code":7}} (unknown, HTTP 400)`, 400},
		"plain":        {"", "gateway timeout\n", "gateway timeout (unknown, HTTP 504)", 504},
		"empty":        {"", "", "Bad Gateway (unknown, HTTP 502)", 502},
		"empty, odd":   {"", "", "the answer is empty (unknown, HTTP 599)", 599},
		"a whole page": {"", strings.Repeat("x", 5000), strings.Repeat("x", maxText) + " (unknown, HTTP 500)", 500},
	} {
		n := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("X-Request-Id", c.header)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		if err := of(t, n).Do(t.Context(), "GET", "/x", nil, nil); err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got  %v\n want %s", name, err, c.want)
		}
	}
}
