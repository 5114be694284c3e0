package gateway_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
)

// FuzzWire sends bytes to the port. Whatever they are, each answer is one, and the gateway
// serves the next client.
func FuzzWire(f *testing.F) {
	r := newRig(f, func(c *gateway.Config) {
		c.ReadTimeout, c.IdleTimeout, c.MaxBody = 50*time.Millisecond, 50*time.Millisecond, 1<<16
	})
	r.node("n1", "north", 4, whole)
	key := "Authorization: Bearer " + r.infer + "\r\n"
	for _, sent := range []string{
		"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.0\r\n" + key + "Content-Length: 70\r\n\r\n" + streamBody,
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + key + "Content-Length: 99999999999\r\n\r\n",
		"PUT /admin/v1/models/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"\x16\x03\x01", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("%q: the connection stays open after %q", sent, got)
		}
		if len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 ") {
			t.Fatalf("%q: %q", sent, got)
		}
		if strings.Contains(string(got), `"code":"internal"`) {
			t.Fatalf("%q: %q", sent, got)
		}
	})
}
