package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestHostileBytesAreShutOut sends what is no handshake, and what never ends.
func TestHostileBytesAreShutOut(t *testing.T) {
	w := newWorld(t)
	short := defaultLimits
	short.handshakeTimeout = 500 * time.Millisecond
	a := w.portWith("a", short, "127.0.0.1:0", identity(t, w.authority, "a"))
	b := w.port("b")
	a.Handle("state", say("state"))
	a.Splice("actor", "127.0.0.1:1")
	noise := make([]byte, 1<<16)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(noise)
	// A record header of a handshake that promises more than ever comes.
	promise := append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff}, make([]byte, 100)...)
	for name, sent := range map[string][]byte{
		"nothing":       nil,
		"a byte":        {22},
		"noise":         noise,
		"http":          []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"http2":         []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"a promise":     promise,
		"empty records": bytes.Repeat([]byte{22, 3, 1, 0, 0}, 1000),
	} {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(sent)
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		got, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stands", name)
		}
		if len(got) > 16 { // an alert at most
			t.Errorf("%s: answered %d bytes", name, len(got))
		}
		_ = c.Close()
	}
	for name, c := range map[string]*tls.Config{
		"no ALPN":  {},
		"h2 alone": {NextProtos: []string{"h2"}},
		"TLS 1.2":  {NextProtos: []string{"join"}, MaxVersion: tls.VersionTLS12},
		"unserved": {NextProtos: []string{"infer"}},
	} {
		c.InsecureSkipVerify = true
		if conn, err := tls.Dial("tcp", a.Addr(), c); err == nil {
			t.Errorf("%s: the handshake was made", name)
			_ = conn.Close()
		}
	}
	if got, err := get(b, "state", "a", "/"); err != nil || got != "state to b" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// TestAFloodOfHandshakesIsBounded opens connections that say nothing.
func TestAFloodOfHandshakesIsBounded(t *testing.T) {
	w := newWorld(t)
	few := defaultLimits
	few.handshakes, few.handshakesFrom, few.handshakeTimeout = 8, 4, 3*time.Second
	a := w.portWith("a", few, "127.0.0.1:0", identity(t, w.authority, "a"))
	a.Handle("state", say("state"))
	before := runtime.NumGoroutine()
	var flood []net.Conn
	defer func() {
		for _, c := range flood {
			_ = c.Close()
		}
	}()
	most := 0
	for range 200 {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		flood = append(flood, c)
		most = max(most, runtime.NumGoroutine()-before)
	}
	// Each handshake may have two goroutines: its own, and one that waits for its time to be over.
	if most > 3*few.handshakesFrom {
		t.Errorf("%d goroutines for 4 handshakes at a time", most)
	}
	b := w.portWith("b", defaultLimits, "127.0.0.2:0", identity(t, w.authority, "b"))
	if got, err := get(b, "state", "a", "/"); err != nil || got != "state to b" {
		t.Errorf("a member from elsewhere during the flood: %q, %v", got, err)
	}
	within(t, 30*time.Second, "there is room again", func() bool {
		a.gate.mu.Lock()
		defer a.gate.mu.Unlock()
		return a.gate.mu.all == 0 && len(a.gate.mu.from) == 0
	})
}
