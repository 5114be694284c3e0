//go:build e2e

package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

// The deployments of mock engines.
const (
	mockFast   = "mock"
	mockPaced  = "paced"
	mockSilent = "silent"
)

// mocks are the mock engines that the official clients meet.
type mocks struct {
	engines map[string]string // deployment to URL
	seen    string
}

func (m *mocks) urls() []string {
	var out []string
	for _, url := range m.engines {
		out = append(out, url)
	}
	return out
}

// startMocks serves them until the test ends.
func startMocks(t *testing.T) *mocks {
	t.Helper()
	m := &mocks{engines: map[string]string{}}
	paced := mockengine.New(mockengine.Config{Model: mockPaced, Tokens: 200, Interval: 50 * time.Millisecond})
	silent := mockengine.New(mockengine.Config{Model: mockSilent, FirstToken: time.Minute})
	fast := mockengine.New(mockengine.Config{Model: mockFast})
	m.engines[mockFast], m.engines[mockPaced], m.engines[mockSilent] = serveMock(t, fast), serveMock(t, paced), serveMock(t, silent)
	control := http.NewServeMux()
	control.HandleFunc("GET /seen/{id}", func(w http.ResponseWriter, r *http.Request) {
		a, b := paced.Seen(r.PathValue("id")), silent.Seen(r.PathValue("id"))
		_ = json.NewEncoder(w).Encode(mockengine.Sighting{Dispatched: a.Dispatched + b.Dispatched, Finished: a.Finished + b.Finished, Cancelled: a.Cancelled + b.Cancelled})
	})
	m.seen = serveMock(t, control) + "/seen"
	return m
}

func serveMock(t *testing.T, h http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + listener.Addr().String()
}
