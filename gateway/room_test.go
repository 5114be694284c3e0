package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
)

// TestRoomForBodies: large bodies share a bounded memory, small ones need none of it, and
// it is given back however a request ends.
func TestRoomForBodies(t *testing.T) {
	const most = 1 << 20
	r := newRig(t, func(c *gateway.Config) {
		c.MaxBody, c.Bodies, c.Balance.DigestInterval = most, most, time.Hour
	})
	r.node("n1", "north", 8, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"choices":[]}`) })
	large := strings.Replace(chatBody, "hi", strings.Repeat("x", most*2/3), 1)
	asks := func(body string) int {
		res, _ := r.do(r.infer, "POST", "/v1/chat/completions", body)
		if res.StatusCode == 429 && res.Header.Get("Retry-After") == "" {
			t.Error("without a time to come again")
		}
		return res.StatusCode
	}
	for range 5 { // more than there is room for, one after the other
		if s := asks(large); s != 200 {
			t.Fatal(s)
		}
		asks(large + "}") // not JSON
		asks(strings.Repeat("x", most+1))
	}
	var c net.Conn
	eventually(t, "a large body is refused while another one is held", func() bool {
		if c != nil { // a machine under strain may have refused that one itself
			c.Close()
		}
		c = r.connect()
		_, _ = fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", r.infer, len(large), large[:len(large)-10])
		time.Sleep(20 * time.Millisecond)
		return asks(large) == 429
	})
	if s := asks(chatBody); s != 200 {
		t.Errorf("a small one: %d", s)
	}
	c.Close()
	eventually(t, "there is room again", func() bool { return asks(large) == 200 })
	for body, want := range map[string]int{
		`{"model":"m","messages":[` + strings.Repeat("1,", 400_000) + `1]}`: 400,
		strings.Repeat("[", 100_000):                                        400,
	} {
		if s := asks(body); s != want {
			t.Errorf("%.30s: %d", body, s)
		}
	}
}
