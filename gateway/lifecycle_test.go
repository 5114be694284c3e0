package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/gateway"
)

// TestShutdownBeforeServe: a Serve that begins after Shutdown, or that is just
// beginning, ends all the same.
func TestShutdownBeforeServe(t *testing.T) {
	for range 20 {
		s, reg := newState(), prometheus.NewRegistry()
		g, err := gateway.New(gateway.Config{Self: "n1", Proposer: s, State: s, Opener: panicking{}, Registerer: reg, Gatherer: reg, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- g.Serve(ln) }()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := errors.Join(g.Shutdown(ctx), <-served, g.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
		cancel()
		if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			c.Close()
			t.Fatal("the port is still open")
		}
	}
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := gateway.New(gateway.Config{Self: "n1"}); err == nil {
		t.Error("a gateway without a state")
	}
}

// hold answers with one event, and the rest when release is closed.
func hold(release <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		event(w, "a")
		select {
		case <-release:
		case <-req.Context().Done():
			return
		}
		event(w, "b")
		_, _ = io.WriteString(w, ends+"data: [DONE]\n\n")
	}
}

func TestShutdownWaitsForStreams(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	r.node("n1", "north", 4, hold(release))
	res, err := r.send(t.Context(), r.infer, "POST", "/v1/chat/completions", streamBody)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	line(t, in)
	ended := make(chan error, 1)
	go func() { ended <- r.g.Shutdown(t.Context()) }()
	eventually(t, "no new clients are taken", func() bool {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(r.url, "http://"), time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	rest, err := io.ReadAll(in)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("%q, %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := r.engines.inFlight.Load(); n != 0 {
		t.Errorf("%d calls are open", n)
	}
}

// TestShutdownThatCannotWait tells those who are still served.
func TestShutdownThatCannotWait(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, hold(nil))
	res, err := r.send(t.Context(), r.infer, "POST", "/v1/chat/completions", streamBody)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	line(t, in)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.g.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	rest, err := io.ReadAll(in)
	if err != nil || !strings.Contains(string(rest), "event: error\n") || !strings.Contains(string(rest), "node_draining") || strings.Contains(string(rest), "[DONE]") {
		t.Errorf("%q, %v", rest, err)
	}
	if n := r.engines.inFlight.Load(); n != 0 {
		t.Errorf("%d calls are open", n)
	}
}

func TestDrain(t *testing.T) {
	notReady := errors.New("it has no leader")
	var why error
	r := newRig(t, func(c *gateway.Config) { c.Ready = func() error { return why } })
	r.node("n1", "north", 4, whole)
	expect := func(what string, status int, code string, closes bool) {
		t.Helper()
		res, body := r.do("", "GET", "/readyz", "")
		if res.StatusCode != status || (code != "" && codeOf(t, body) != code) {
			t.Errorf("%s: %d %s", what, res.StatusCode, body)
		}
		if res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 || res.Close != closes {
			t.Errorf("%s: %d %s, the connection closes: %v", what, res.StatusCode, body, res.Close)
		}
		if res, _ := r.do("", "GET", "/healthz", ""); res.StatusCode != 200 {
			t.Errorf("%s: not healthy", what)
		}
	}
	expect("ready", 200, "", false)
	r.g.StartDrain()
	expect("draining", 503, "node_draining", true)
	r.g.EndDrain()
	expect("ready again", 200, "", false)
	why = notReady
	expect("not ready", 503, "model_not_ready", false)
}

// TestClientLeavesAndIsNotCountedTwice: the engine's work is stopped, and the
// outcome says why.
func TestClientLeaves(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, hold(nil))
	ctx, leave := context.WithCancel(t.Context())
	res, err := r.send(ctx, r.infer, "POST", "/v1/chat/completions", streamBody)
	if err != nil {
		t.Fatal(err)
	}
	line(t, bufio.NewReader(res.Body))
	leave()
	res.Body.Close()
	eventually(t, "the engine is stopped", func() bool { return r.engines.inFlight.Load() == 0 })
	eventually(t, "it is accounted for", func() bool {
		_, shown := r.do("", "GET", "/metrics", "")
		return strings.Contains(shown, `requests_total{code="client_gone",endpoint="chat"} 1`) && strings.Contains(shown, "requests_active 0")
	})
}
