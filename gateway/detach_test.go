package gateway_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// asked is a request as its bytes.
func (r *rig) asked(path, body string, headers ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		path, r.infer, strings.Join(headers, ""), len(body), body)
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// expectAnswer reads one from a connection that stays.
func expectAnswer(t testing.TB, in *bufio.Reader, what string, streams bool) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || strings.HasSuffix(string(b), "data: [DONE]\n\n") != streams || !streams && string(b) != answer {
		t.Fatalf("%s: %d, %v, %q", what, res.StatusCode, err, b)
	}
	return res
}

// either streams or answers in one piece, as it is asked.
func either(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body)
	if strings.Contains(string(b), `"stream":true`) {
		streamed(w, req)
		return
	}
	whole(w, req)
}

// TestConnectionIsServedOn: streams and other requests come by turns on one connection, plain and
// by TLS, also where the client sends them before it has its answers.
func TestConnectionIsServedOn(t *testing.T) {
	lender := httptest.NewUnstartedServer(nil)
	lender.StartTLS()
	defer lender.Close()
	for name, change := range map[string]func(*gateway.Config){"plain": func(*gateway.Config) {},
		"TLS": func(c *gateway.Config) {
			c.TLS = &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}
		}} {
		r := newRig(t, change)
		r.node("n1", "north", 64, either)
		c := r.dial()
		if name == "TLS" {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
		}
		in, chat := bufio.NewReader(c), "/v1/chat/completions"
		for i, streams := range []bool{true, false, true, true, false, false, true} {
			body := chatBody
			if streams {
				body = streamBody
			}
			if _, err := io.WriteString(c, r.asked(chat, body)); err != nil {
				t.Fatal(err)
			}
			if res := expectAnswer(t, in, fmt.Sprint(name, i), streams); res.Close {
				t.Errorf("%s %d: the connection is to be closed", name, i)
			}
		}
		all := []bool{false, true, true, false, true, false}
		sent := ""
		for _, streams := range all {
			if streams {
				sent += r.asked(chat, streamBody)
			} else {
				sent += r.asked(chat, chatBody, "X-Pad: "+strings.Repeat("x", 700)+"\r\n") // more than is taken over at a time
			}
		}
		if _, err := io.WriteString(c, sent+r.asked(chat, streamBody, "Connection: close\r\n")); err != nil {
			t.Fatal(err)
		}
		for i, streams := range all {
			expectAnswer(t, in, fmt.Sprint(name, ", sent ahead ", i), streams)
		}
		if res := expectAnswer(t, in, name+", the last", true); !res.Close {
			t.Errorf("%s: the connection is not to be closed", name)
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("%s: after the last answer: %q, %v", name, rest, err)
		}
	}
}

// TestIdleAfterAStream: a connection that says nothing after a stream is closed without a word,
// once it has waited for as long as any other.
func TestIdleAfterAStream(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.IdleTimeout = 300 * time.Millisecond })
	r.node("n1", "north", 4, streamed)
	c := r.dial()
	began := time.Now() // not when the answer has been read: by then it may have waited for long
	if _, err := io.WriteString(c, r.asked("/v1/chat/completions", streamBody)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	expectAnswer(t, in, "stream", true)
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 || time.Since(began) < 300*time.Millisecond {
		t.Errorf("%q, %v, after %v", rest, err, time.Since(began))
	}
}

// TestSlowHeadAfterAStream: what begins a request in time has no longer for the rest than others.
func TestSlowHeadAfterAStream(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ReadTimeout, c.IdleTimeout = 200*time.Millisecond, time.Minute })
	r.node("n1", "north", 4, streamed)
	c := r.dial()
	if _, err := io.WriteString(c, r.asked("/v1/chat/completions", streamBody)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	expectAnswer(t, in, "stream", true)
	time.Sleep(300 * time.Millisecond) // longer than a head may take, which has not begun yet
	if _, err := io.WriteString(c, "POST / HT"); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 408 {
		t.Errorf("%v, %v", res, err)
	}
}

// TestShutdownAfterAStream: a connection that is served on after a stream does not outlive the gateway.
func TestShutdownAfterAStream(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, streamed)
	c := r.dial()
	if _, err := io.WriteString(c, r.asked("/v1/chat/completions", streamBody)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	expectAnswer(t, in, "stream", true)
	if err := r.g.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is still there: %v", err)
	}
}

// TestSlowHeadSentAhead: what begins a request behind a stream has no longer for the rest than others, and is told so.
func TestSlowHeadSentAhead(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ReadTimeout, c.IdleTimeout = 500*time.Millisecond, time.Minute })
	r.node("n1", "north", 4, streamed)
	c := r.dial()
	if _, err := io.WriteString(c, r.asked("/v1/chat/completions", streamBody)+"POST / HT"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	expectAnswer(t, in, "stream", true)
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 408 {
		t.Errorf("%v, %v", res, err)
	}
}

// TestRefusalLongAfterAStream: what the server itself answers, without a deadline of its own, is not held to the stream's.
func TestRefusalLongAfterAStream(t *testing.T) {
	const stall = 2 * time.Second
	r := newRig(t, func(c *gateway.Config) { c.WriteStall = stall })
	r.node("n1", "north", 4, streamed)
	c := r.dial()
	if _, err := io.WriteString(c, r.asked("/v1/chat/completions", streamBody)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	expectAnswer(t, in, "stream", true)
	time.Sleep(stall + 100*time.Millisecond)
	if _, err := io.WriteString(c, "this is no request\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 400 {
		t.Errorf("%v, %v", res, err)
	}
}

// TestSecureBehindAStream: a request that was sent ahead of its turn by TLS is known to have come that way.
func TestSecureBehindAStream(t *testing.T) {
	lender := httptest.NewUnstartedServer(nil)
	lender.StartTLS()
	defer lender.Close()
	r := newRig(t, func(c *gateway.Config) {
		c.TLS = &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	r.node("n1", "north", 4, streamed)
	c := tls.Client(r.dial(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	if _, err := io.WriteString(c, r.asked("/v1/chat/completions", streamBody)+"GET /auth/v1/oidc/login HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	expectAnswer(t, in, "stream", true)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 302 {
		t.Fatalf("%v, %v", res, err)
	}
	if ask := r.doors.last().(spec.SSOBegin); ask.Callback != "https://x/auth/v1/oidc/callback" {
		t.Errorf("the provider is to send browsers to %s", ask.Callback)
	}
}
