package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
)

// askAndLeave asks for an answer and takes none of it.
func (r *rig) askAndLeave(body string) net.Conn {
	r.t.Helper()
	c := r.connect()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, err := fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", r.infer, len(body), body)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// large answers with so many bytes.
func large(size int) http.HandlerFunc {
	text := []byte(`{"choices":[],"x":"` + strings.Repeat("x", size) + `"}`)
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}
}

// TestLargeAnswersShareTheRoom: those that nobody takes count until they are written or
// cannot be, and hold no slot of the engine.
func TestLargeAnswersShareTheRoom(t *testing.T) {
	const size = 10 << 20 // more than sockets buffer
	r := newRig(t, func(c *gateway.Config) {
		c.MaxBody, c.Bodies, c.Balance.DigestInterval = 1<<20, 4*size, time.Hour
	})
	r.node("n1", "north", 1, large(size))
	asks := func() (int, string) {
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
		if res.StatusCode == 429 && res.Header.Get("Retry-After") == "" {
			t.Error("without a time to come again")
		}
		return res.StatusCode, body
	}
	for range 10 { // more than there is room for, one after the other
		if s, body := asks(); s != 200 || len(body) < size {
			t.Fatal(s, len(body))
		}
	}
	var slow []net.Conn
	eventually(t, "an answer is refused while others are not taken", func() bool {
		c := r.askAndLeave(chatBody)
		slow = append(slow, c)
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "HTTP/1.1 429 ")
	})
	if len(slow) < 2 {
		t.Error("there was no room for one")
	}
	eventually(t, "the engine's slot is free, though the answers are not taken", func() bool { return r.engines.inFlight.Load() == 0 })
	if s, body := asks(); s != 429 || codeOf(t, body) != "no_capacity" || !strings.Contains(body, "api.body-memory") {
		t.Errorf("%d %.300s", s, body)
	}
	for _, c := range slow {
		c.Close()
	}
	eventually(t, "there is room again", func() bool { s, _ := asks(); return s == 200 })
}

// TestNobodyHasTheWholeRoom: what one client does not take leaves half to the others.
func TestNobodyHasTheWholeRoom(t *testing.T) {
	const size = 10 << 20
	r := newRig(t, func(c *gateway.Config) {
		c.MaxBody, c.Bodies, c.Balance.DigestInterval = 1<<20, 8*size, time.Hour
	})
	other := r.state.addKey("oth", "t1", 0, "infer")
	r.tellState()
	r.node("n1", "north", 1, large(size))
	asks := func(key string) int {
		res, _ := r.do(key, "POST", "/v1/chat/completions", chatBody)
		return res.StatusCode
	}
	eventually(t, "one client's share is full", func() bool {
		line, _ := bufio.NewReader(r.askAndLeave(chatBody)).ReadString('\n')
		return strings.HasPrefix(line, "HTTP/1.1 429 ")
	})
	if mine, others := asks(r.infer), asks(other); mine != 429 || others != 200 {
		t.Errorf("%d, and another's %d", mine, others)
	}
}

// TestSlowReaders of whole answers are cut off and counted; those that take theirs at the
// rate that is asked for are not.
func TestSlowReaders(t *testing.T) {
	const size = 10 << 20
	r := newRig(t, func(c *gateway.Config) { c.WriteTimeout, c.MinRate = time.Second, 2*size }) // 1.5 s for such an answer
	r.node("n1", "north", 4, large(size))
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 || len(body) < size {
		t.Errorf("at full speed: %d, %d bytes", res.StatusCode, len(body))
	}
	c := r.askAndLeave(chatBody)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200 ") {
		t.Fatal(line, err)
	}
	eventually(t, "the client is counted", func() bool {
		_, shown := r.do("", "GET", "/metrics", "")
		return strings.Contains(shown, `lotabots_gateway_slow_clients_total{of="answers"} 1`)
	})
}

// TestFreshConnections may wait with their first byte as long as one that has been used;
// once it is there the rest has to come.
func TestFreshConnections(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ReadTimeout, c.IdleTimeout = 200*time.Millisecond, time.Minute })
	c := r.connect()
	time.Sleep(600 * time.Millisecond)
	_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200 ") {
		t.Error(line, err)
	}
	if got, closed := r.raw("GET /healthz HTT", 30*time.Second); !closed || !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, `"code":"request_timeout"`) {
		t.Errorf("closed %v, %q", closed, got)
	}
}
