package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

func (r *rig) connect() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// TestCrowd: connections on which nothing whole comes make room for those who ask; where
// a request is under way on all, who comes is told so.
func TestCrowd(t *testing.T) {
	const most = 100 // less than what any process may have open
	hold := make(chan struct{})
	r := newRig(t, func(c *gateway.Config) { c.Connections, c.Balance.DigestInterval = most, time.Hour })
	r.node("n1", "north", 4*most, func(w http.ResponseWriter, _ *http.Request) {
		<-hold
		_, _ = io.WriteString(w, `{"choices":[]}`)
	})
	var silent []net.Conn
	for i := range 2 * most {
		c := r.connect()
		if i%2 == 0 { // or says something slowly
			_, _ = io.WriteString(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+r.infer+"\r\nContent-Length: 100000\r\n\r\n{")
		}
		silent = append(silent, c)
	}
	if res, body := r.do("", "GET", "/healthz", ""); res.StatusCode != 200 {
		t.Fatalf("nobody is let in: %d %s", res.StatusCode, body)
	}
	if _, err := silent[1].Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the first one is still there: %v", err)
	}

	request := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + r.infer + "\r\nContent-Length: 57\r\n\r\n" + chatBody
	var busy []net.Conn
	for range most {
		c := r.connect()
		_, _ = io.WriteString(c, request)
		busy = append(busy, c)
	}
	eventually(t, "all are under way", func() bool { return r.engines.count("n1") == most })
	c := r.connect()
	_, _ = io.WriteString(c, request)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || !strings.Contains(string(body), string(spec.CodeOverloaded)) ||
		!strings.Contains(string(body), res.Header.Get("X-Request-Id")) || !res.Close {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	close(hold)
	for i, c := range busy {
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
			t.Fatalf("request %d of those under way: %v %v", i, res, err)
		}
	}
	if _, shown := r.do("", "GET", "/metrics", ""); !strings.Contains(shown, "lotabots_gateway_connections_refused_total 1") || strings.Contains(shown, "lotabots_gateway_connections_evicted_total 0") {
		t.Error("they are not counted")
	}
}
