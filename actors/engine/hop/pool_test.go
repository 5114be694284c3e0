package hop

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

// canned is a connection whose server answers each write alike, at once.
type canned struct {
	net.Conn
	left string
}

func (c *canned) Write(b []byte) (int, error) {
	c.left = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + `{"choices":[{}]}`
	return len(b), nil
}

func (c *canned) Read(p []byte) (int, error) {
	if c.left == "" {
		return 0, io.EOF
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (*canned) Close() error { return nil }

func BenchmarkPool(b *testing.B) {
	r := Request{Method: http.MethodPost, Path: "/v1/chat/completions", Header: []Field{{"Content-Type", "application/json"}, {"X-Request-Id", "req-1"}}, Body: []byte(strings.Repeat("x", 600))}
	do := func(c *Caller, r *Request) {
		answer, err := c.Do(context.Background(), r)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		if err != nil {
			b.Error(err)
		}
	}
	c := &Caller{Host: "x", Dial: func(context.Context) (net.Conn, error) { return &canned{}, nil }}
	b.Cleanup(c.Close)
	pooltest.Compare(b, "engine-heads", func(pb *testing.PB) {
		for pb.Next() {
			do(c, &r)
		}
	})
	web, _ := httpServer(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"choices":[{}]}`)
	})
	last := r
	last.Last = true
	pooltest.Ways(b, "engine-connections", 4, func(pb *testing.PB) {
		for pb.Next() {
			do(web, &last)
		}
	}, func(pb *testing.PB) {
		for pb.Next() {
			do(web, &r)
		}
	})
}
