package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// closing ends what the shared client keeps open before leaks are looked for.
type closing struct{ *testing.M }

func (m closing) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return m.M.Run()
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(closing{m},
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // sleeps its last ten seconds out
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"),      // compresses, one for each processor
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// raw sends bytes and returns the answers that come back, until the connection
// closes or wait has passed.
func (r *rig) raw(sent string, wait time.Duration) (string, bool) {
	r.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, sent); err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(c)
	if _, err := in.Peek(1); err != nil {
		return "", errors.Is(err, io.EOF)
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	b, err := io.ReadAll(in)
	return string(b), err == nil
}

func TestMethodsAndPaths(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/v1/chat/completions", 405, "method_not_allowed", "POST"},
		{"DELETE", "/v1/models", 405, "method_not_allowed", "GET"},
		{"GET", "/nowhere/" + strings.Repeat("x", 500), 404, "not_found", ""},
		{"POST", "/v1/chat/completions/", 404, "not_found", ""},
		{"GET", "/V1/models", 404, "not_found", ""},
		{"GET", "/v1/../healthz", 404, "not_found", ""},
		{"GET", "/debug/pprof/", 404, "not_found", ""},
		{"OPTIONS", "/v1/models", 204, "", "GET"},
		{"OPTIONS", "/v1/chat/completions", 204, "", "POST"},
		{"BREW", "/healthz", 405, "method_not_allowed", "GET"},
	} {
		res, body := r.do(r.infer, c.method, c.path, "")
		if res.StatusCode != c.status || !strings.Contains(res.Header.Get("Allow"), c.allow) {
			t.Errorf("%s %.40s: %d, allow %q, %.200s", c.method, c.path, res.StatusCode, res.Header.Get("Allow"), body)
		} else if c.code != "" && (codeOf(t, body) != c.code || len(body) > 1000) {
			t.Errorf("%s %.40s: %s", c.method, c.path, body)
		}
	}
}

// TestHead answers with the headers of GET, and nothing more.
func TestHead(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/models", "/v1/models/m", "/v1/models/none", "/admin/v1/keys"} {
		got, body := r.do(r.admin, "HEAD", path, "")
		want, _ := r.do(r.admin, "GET", path, "")
		if got.StatusCode != want.StatusCode || body != "" || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Errorf("%s: %d %v %q, GET %d %v", path, got.StatusCode, got.Header, body, want.StatusCode, want.Header)
		}
	}
	// On one connection: a body after the headers would be read as the next answer.
	req := "HEAD /v1/models/none HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + r.admin + "\r\n\r\n"
	got, _ := r.raw(req+strings.Replace(req, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), 5*time.Second)
	if strings.Count(got, "HTTP/1.1 404") != 2 || strings.Contains(got, "{") {
		t.Errorf("%q", got)
	}
}

// madeID is a request's id that was made here.
var madeID = regexp.MustCompile(`"request_id":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)

func TestMalformed(t *testing.T) {
	r := newRig(t)
	for name, sent := range map[string]string{
		"garbage":          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"no version":       "GET /\r\n\r\n",
		"a broken header":  "GET / HTTP/1.1\r\nHost x\r\n\r\n",
		"two lengths":      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
		"a length of none": "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n{}",
		"large headers":    "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"many headers":     "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 20<<10),
	} {
		status, code := "400", "invalid_request"
		if strings.HasSuffix(name, "headers") {
			status, code = "431", "headers_too_large"
		}
		got, closed := r.raw(sent, 5*time.Second)
		if !closed || !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") || !strings.Contains(got, `"code":"`+code+`"`) || !madeID.MatchString(got) {
			t.Errorf("%s: closed %v, %q", name, closed, got)
		}
	}
	if _, shown := r.do("", "GET", "/metrics", ""); !strings.Contains(shown, "lotabots_gateway_malformed_requests_total 7") {
		t.Error("they are not counted")
	}
}

// TestMalformedTold: the cause is named where it is known, in the form of the path's API.
func TestMalformedTold(t *testing.T) {
	r := newRig(t)
	const post = "POST /v1/messages HTTP/1.1\r\nHost: x\r\n"
	for sent, want := range map[string]string{
		"GET / HTTP/9\r\nHost: x\r\n\r\n":                                            `"message":"The request could not be read as HTTP/1.1: its first line does not end with HTTP/1.1."`,
		"GET / HTTP/1.1\r\nHost x\r\n\r\n":                                           `NAME: VALUE.","type":"invalid_request_error","param":null,"code":"invalid_request","hint":"Correct what the message tells of."`,
		"GET / HTTP/1.1\r\n\r\n":                                                     `"message":"Host is missing.","type":"invalid_request_error","param":"Host"`,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1a\r\n\r\n":                   `"message":"Content-Length is not a number.","type":"invalid_request_error","param":"Content-Length"`,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n": `"code":"body_too_large"`,
		post + "Transfer-Encoding: gzip\r\n\r\n":                                     `{"type":"error","error":{"type":"invalid_request_error","message":"Transfer-Encoding must be chunked`,
		post + "X: " + strings.Repeat("x", 20<<10) + "\r\n\r\n":                      `{"type":"error","error":{"type":"invalid_request_error","message":"The request's headers are larger`,
		"GET /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":          `{"type":"error","error":{"type":"invalid_request_error","message":"/v1/messages is not for GET.`,
	} {
		got, closed := r.raw(sent, 5*time.Second)
		if !closed || !strings.Contains(got, want) || strings.Contains(got, "Content-Length: 999") || strings.Contains(want, "too_large") && !strings.HasPrefix(got, "HTTP/1.1 413 ") {
			t.Errorf("%.80q: closed %v, %q", sent, closed, got)
		}
	}
}

// TestSmuggling: what the handler leaves of a body must not be read as a request.
func TestSmuggling(t *testing.T) {
	r := newRig(t)
	inner := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	got, _ := r.raw(fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner), 300*time.Millisecond)
	if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 401") {
		t.Errorf("%q", got)
	}
	got, _ = r.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"+inner, 300*time.Millisecond)
	if strings.Contains(got, `"status":"ok"`) && !strings.Contains(got, "HTTP/1.1 401") {
		t.Errorf("%q", got)
	}
}

// endless is a body that never ends by itself.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range p[:n] {
		p[i] = ' '
	}
	e.left -= n
	return n, nil
}

// TestOversized gets its answer read, although the client is still sending; with
// a length that says so at once, and without one.
func TestOversized(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.MaxBody, c.MaxModel = 100_000, 100_000 })
	r.node("n1", "north", 4, whole)
	fits := chatBody[:len(chatBody)-1] + strings.Repeat(" ", 100_000-len(chatBody)) + "}"
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", fits); res.StatusCode != 200 {
		t.Errorf("at the limit: %d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/v1/chat/completions", "/admin/v1/models/x"} {
		for _, known := range []bool{true, false} {
			method := http.MethodPost
			if strings.Contains(path, "models") {
				method = http.MethodPut
			}
			const size = 8 << 20
			req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, &endless{size})
			if err != nil {
				t.Fatal(err)
			}
			if req.Header.Set("Authorization", "Bearer "+r.admin); known {
				req.ContentLength = size
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Errorf("%s, length known %v: %v", path, known, err)
				continue
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != 413 || codeOf(t, string(body)) != "body_too_large" {
				t.Errorf("%s, length known %v: %d %s, %v", path, known, res.StatusCode, body, err)
			}
		}
	}
}

// TestBodyOfNobody is not waited for: who has no key is told so at once.
func TestBodyOfNobody(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"POST /v1/chat/completions", "PUT /admin/v1/models/x"} {
		got, _ := r.raw(path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"+strings.Repeat("x", 10<<10), time.Second)
		if !strings.HasPrefix(got, "HTTP/1.1 401 ") {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestSlowClients hold nothing for longer than the time for a whole request,
// wherever they stop.
func TestSlowClients(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ReadTimeout, c.IdleTimeout = 300*time.Millisecond, 400*time.Millisecond })
	key := "Authorization: Bearer " + r.admin + "\r\n"
	var clients sync.WaitGroup
	for name, c := range map[string]struct{ sent, answer string }{
		"before anything":             {"", ""},
		"in the headers":              {"POST /v1/chat/completions HTTP/1.1\r\nHo", "HTTP/1.1 408 "},
		"in the body":                 {"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key + "Content-Length: 100\r\n\r\n{", "HTTP/1.1 408 "},
		"in a long body":              {"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 20<<10), "HTTP/1.1 408 "},
		"in a chunk":                  {"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key + "Transfer-Encoding: chunked\r\n\r\n5\r\n{", "HTTP/1.1 408 "},
		"in a model":                  {"PUT /admin/v1/models/x HTTP/1.1\r\nHost: x\r\n" + key + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 20<<10), "HTTP/1.1 408 "},
		"in a model, without a key":   {"PUT /admin/v1/models/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx", "HTTP/1.1 408 "},
		"in a model that is expected": {"PUT /admin/v1/models/x HTTP/1.1\r\nHost: x\r\n" + key + "Expect: 100-continue\r\nContent-Length: 100\r\n\r\nx", "HTTP/1.1 100 "},
	} {
		clients.Go(func() {
			began := time.Now()
			got, closed := r.raw(c.sent, 30*time.Second)
			if took := time.Since(began); !closed || took > 25*time.Second || !strings.HasPrefix(got, c.answer) {
				t.Errorf("%s: closed %v after %v, %q", name, closed, took, got)
			}
		})
	}
	clients.Wait()
}

// TestSlowModel: an import may take longer than any other request, while bytes come.
func TestSlowModel(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ReadTimeout = time.Second })
	in, out := io.Pipe()
	go func() {
		for range 14 {
			_, _ = out.Write(bytes.Repeat([]byte("x"), 10<<10))
			time.Sleep(100 * time.Millisecond)
		}
		_ = out.Close()
	}()
	req, _ := http.NewRequestWithContext(t.Context(), "PUT", r.url+"/admin/v1/models/slow", in)
	req.Header.Set("Authorization", "Bearer "+r.admin)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(body), `"size":143360`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestPanics are answered, and the next request is served.
func TestPanics(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Cluster, c.Opener = broken{c.Cluster}, panicking{} })
	r.node("n1", "north", 4, nil)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/admin/v1/status", ""}, {"POST", "/v1/chat/completions", chatBody}, {"POST", "/v1/chat/completions", streamBody}} {
		res, body := r.do(r.admin, c.method, c.path, c.body, "X-Request-Id", "mine")
		if res.StatusCode != 500 || codeOf(t, body) != "internal" || !strings.Contains(body, `"request_id":"mine"`) || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, body)
		}
	}
	if _, shown := r.do("", "GET", "/metrics", ""); !strings.Contains(shown, "lotabots_gateway_requests_active 0") {
		t.Error("a request that panicked counts as active")
	}
}

type broken struct{ gateway.Cluster }

func (broken) Status(context.Context) (*gateway.Status, error) { panic("secret") }

// TestManyIdle: connections that ask for nothing do not keep others from being served.
func TestManyIdle(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Connections = 600 })
	for range 500 {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	if res, _ := r.do("", "GET", "/healthz", ""); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

type panicking struct{}

func (panicking) Open(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
	panic("secret")
}
