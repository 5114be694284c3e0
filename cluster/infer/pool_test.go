package infer

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

// near answers each call at once, whole.
type near struct{}

func (near) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{Header: http.Header{hdrKind: {kindStream}, hdrStatus: {"200"}}, Trailer: http.Header{hdrEnd: {"1"}}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// taker takes everything.
type taker struct{}

func (taker) Header() http.Header         { return nil }
func (taker) Write(b []byte) (int, error) { return len(b), nil }
func (taker) WriteHeader(int)             {}
func (taker) Flush()                      {}

func BenchmarkPool(b *testing.B) {
	client := &Client{http: &http.Client{Transport: near{}}}
	body := []byte(strings.Repeat("x", 600))
	pooltest.Compare(b, "call-heads", func(pb *testing.PB) {
		for pb.Next() {
			s, err := client.Open(context.Background(), spec.Target{Node: "b", Device: "gpu/0", Instance: "i"}, spec.Call{RequestID: "req-1", Path: "/v1/chat/completions", Deployment: "m", Tenant: "acme"}, body)
			if err != nil {
				b.Error(err)
				return
			}
			_ = s.Close()
		}
	})
	pooltest.Compare(b, "call-chunks", func(pb *testing.PB) {
		flush := http.NewResponseController(taker{})
		for pb.Next() {
			if err := pass(taker{}, flush, strings.NewReader("data: 1\n\n")); err != nil {
				b.Error(err)
			}
		}
	})
}
