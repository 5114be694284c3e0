package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
)

// TestExpect: who asks first whether the body is welcome is told before it is sent, by the
// request's size, key and rate.
func TestExpect(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.MaxBody = 100_000 })
	r.node("n1", "north", 4, whole)
	few := r.state.addKey("few", "t1", 3, "infer") // a third of these at once
	r.tellState()
	ask := func(method, path, key string, length int) *bufio.Reader {
		c := r.connect()
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", method, path, key, length)
		answer := bufio.NewReader(c)
		if first, _ := answer.Peek(12); string(first) == "HTTP/1.1 100" {
			_, _ = answer.ReadString('\n')
			_, _ = answer.ReadString('\n')
			_, _ = io.WriteString(c, chatBody)
		}
		return answer
	}
	for _, c := range []struct {
		method, path, key string
		length            int
		status, code      string
		closed            bool
	}{
		{"POST", "/v1/chat/completions", r.infer, len(chatBody), "200", "", false},
		{"POST", "/v1/chat/completions", r.infer, 100_001, "413", "body_too_large", true},
		{"POST", "/v1/messages", r.infer, 100_001, "413", "request_too_large", true},
		{"POST", "/v1/chat/completions", "lb-nobody", len(chatBody), "401", "invalid_api_key", true},
		{"POST", "/v1/nowhere", r.infer, len(chatBody), "404", "not_found", true},
		{"PUT", "/v1/models", r.infer, len(chatBody), "405", "method_not_allowed", true},
		{"POST", "/v1/chat/completions", few, len(chatBody), "200", "", false},
		{"POST", "/v1/chat/completions", few, len(chatBody), "429", "rate_limit_exceeded", true},
	} {
		answer := ask(c.method, c.path, c.key, c.length)
		line, err := answer.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%s %s, %d bytes: %q, %v; want %s", c.method, c.path, c.length, line, err, c.status)
			continue
		}
		if !c.closed {
			continue
		}
		rest, err := io.ReadAll(answer)
		if err != nil || !strings.Contains(string(rest), c.code) || !strings.Contains(string(rest), "Connection: close") || !strings.Contains(string(rest), "X-Request-Id") {
			t.Errorf("%s %s, %d bytes: %q, %v", c.method, c.path, c.length, rest, err)
		}
	}
}

// TestTooLargeAtOnce: a body whose length says that it is too large is not waited for.
func TestTooLargeAtOnce(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.MaxModel = 1 << 40 })
	for path, want := range map[string]string{"POST /v1/chat/completions": "413", "POST /admin/v1/keys": "413"} {
		began := time.Now()
		got, closed := r.raw(path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+r.admin+"\r\nContent-Length: 1000000000\r\n\r\n", 30*time.Second)
		if !closed || !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") || !strings.Contains(got, `"code":"body_too_large"`) || time.Since(began) > 25*time.Second {
			t.Errorf("%s: closed %v after %v: %q", path, closed, time.Since(began), got)
		}
	}
}

// TestBrokenChunks are told as what they are.
func TestBrokenChunks(t *testing.T) {
	r := newRig(t)
	for _, sent := range []string{"zz\r\n{}\r\n0\r\n\r\n", "-1\r\n", "5\r\nabcdefgh\r\n", "ffffffffffffffffff\r\n", "2;a=\n\r\n{}\r\n0\r\n\r\n"} {
		got, closed := r.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+r.infer+"\r\nTransfer-Encoding: chunked\r\n\r\n"+sent, 30*time.Second)
		if !closed || !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, `"code":"malformed_body"`) || !strings.Contains(got, "chunks could not be read") {
			t.Errorf("%q: closed %v, %q", sent, closed, got)
		}
	}
}

// TestSlowBodies: one that stands still, or comes more slowly than it must, is told so in the
// end; one that takes longer than the grace but comes at the rate is served.
func TestSlowBodies(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ReadTimeout, c.MinRate = 600*time.Millisecond, 32<<10 })
	r.node("n1", "north", 4, whole)
	body := chatBody[:len(chatBody)-1] + strings.Repeat(" ", 64<<10) + "}"
	send := func(every time.Duration, size int) string { // what is late is made up for
		c := r.connect()
		_, _ = fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", r.infer, len(body))
		_, _ = io.WriteString(c, body[:10<<10])
		began := time.Now()
		for at := 10 << 10; at < len(body); {
			time.Sleep(every)
			due := min(10<<10+int(time.Since(began)/every)*size, len(body))
			if _, err := io.WriteString(c, body[at:due]); err != nil {
				break
			}
			at = due
		}
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		got, _ := bufio.NewReader(c).ReadString('\n')
		return got
	}
	if got := send(20*time.Millisecond, 1<<10); !strings.HasPrefix(got, "HTTP/1.1 200 ") { // 50 KB/s, for more than a second
		t.Errorf("at the rate: %q", got)
	}
	if got := send(100*time.Millisecond, 200); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("more slowly: %q", got)
	}
	_, shown := r.do("", "GET", "/metrics", "")
	if !strings.Contains(shown, `lotabots_gateway_slow_clients_total{of="requests"} 1`) {
		t.Error("it is not counted")
	}
}

// TestPlainToTLS is told to speak TLS.
func TestPlainToTLS(t *testing.T) {
	lender := httptest.NewUnstartedServer(nil) // for its certificate
	lender.StartTLS()
	defer lender.Close()
	r := newRig(t, func(c *gateway.Config) {
		c.TLS = &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	for _, sent := range []string{"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat(" ", 100_000)} {
		got, closed := r.raw(sent, 30*time.Second)
		if !closed || !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "https://") || !strings.Contains(got, `"code":"invalid_request"`) {
			t.Errorf("%.20s: closed %v, %q", sent, closed, got)
		}
	}
	if got, _ := r.raw("\x00\x01\x02\x03\x04\x05\x06", 30*time.Second); strings.HasPrefix(got, "HTTP") {
		t.Errorf("garbage: %q", got)
	}
}

// TestStreamsOverHTTP10 come as they are made, and the end of the gateway waits for them.
func TestStreamsOverHTTP10(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, streamed)
	got, closed := r.raw(fmt.Sprintf("POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", r.infer, len(streamBody), streamBody), 30*time.Second)
	head, events, _ := strings.Cut(got, "\r\n\r\n")
	if !closed || !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "X-Request-Id: ") || !strings.HasPrefix(events, "data: ") || !strings.HasSuffix(events, "data: [DONE]\n\n") {
		t.Errorf("closed %v, %q", closed, got)
	}
	eventually(t, "the connection is forgotten", func() bool {
		_, shown := r.do("", "GET", "/metrics", "")
		return strings.Contains(shown, "lotabots_gateway_requests_active 0")
	})
}
