package actors

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A stub is an engine behind HTTP that misbehaves on demand: the request's path
// says how. It stands for an engine that somebody else runs (preset external).
type stub struct {
	*httptest.Server
	gone    atomic.Int64  // requests whose caller left before their end
	release chan struct{} // lets one held request end
	holding atomic.Int64
	asked   atomic.Int64 // at /slow
	over    atomic.Int64 // streams of /stream that were written whole
	sick    atomic.Bool
}

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{release: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		if s.sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /whole", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": r.Header.Get("X-Lotabots-Request-Id"), "trace": r.Header.Get("Traceparent"),
			"got": string(body), "accept": r.Header.Get("Accept"), "usage": map[string]int{"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}})
	})
	mux.HandleFunc("POST /slow", func(w http.ResponseWriter, r *http.Request) {
		n := s.asked.Add(1)
		select {
		case <-s.release:
		case <-r.Context().Done():
			s.gone.Add(1)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"answer":%d,"choices":[{"index":0,"finish_reason":"stop"}]}`, n)
	})
	mux.HandleFunc("POST /stream", func(w http.ResponseWriter, _ *http.Request) { s.stream(w, 20) })
	mux.HandleFunc("POST /hold", s.hold)
	mux.HandleFunc("POST /refuse", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":"no"}}`)
	})
	mux.HandleFunc("POST /full", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"error":{"message":"CUDA out of memory. Tried to allocate 1.00 GiB"}}`)
	})
	mux.HandleFunc("POST /hangup", func(w http.ResponseWriter, _ *http.Request) { raw(w, "") })
	mux.HandleFunc("POST /broken", func(w http.ResponseWriter, _ *http.Request) {
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
	})
	mux.HandleFunc("POST /short", func(w http.ResponseWriter, _ *http.Request) {
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}")
	})
	mux.HandleFunc("POST /unmarked", func(w http.ResponseWriter, _ *http.Request) {
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}")
	})
	mux.HandleFunc("POST /unmarked-stream", func(w http.ResponseWriter, _ *http.Request) {
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: [DONE]\n\n")
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// raw answers with bytes of its own and hangs up.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	b := bufio.NewWriter(conn)
	_, _ = b.WriteString(text)
	_ = b.Flush()
}

func (s *stub) stream(w http.ResponseWriter, tokens int) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range tokens {
		fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":\"%d\"}}]}\n\n", i)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", tokens)
	_ = http.NewResponseController(w).Flush()
	s.over.Add(1)
}

// hold sends one event and then waits for the test, or for its caller to leave.
func (s *stub) hold(w http.ResponseWriter, r *http.Request) {
	s.holding.Add(1)
	defer s.holding.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: 1\n\n")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-s.release:
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	case <-r.Context().Done():
		s.gone.Add(1)
	case <-time.After(30 * time.Second):
	}
}

// loadStub has a device load an instance of the stub, and waits until it is ready.
func (n *testNode) loadStub(t *testing.T, s *stub, id string, slots uint32, epoch uint64) spec.Target {
	t.Helper()
	m := &wire.LoadModel{Instance: id, Deployment: "d", Version: 3, Epoch: epoch, Engine: "external", Options: map[string]string{"url": s.URL}, Slots: slots}
	ack, err := n.Command(within(t, 30*time.Second), n.cfg.Node, deviceOf(n, 0), m)
	mustCode(t, ack, err, "")
	n.awaitState(t, id, isReady)
	return spec.Target{Node: n.cfg.Node, Device: deviceOf(n, 0), Instance: spec.InstanceID(id)}
}

// with lets the node call the stub.
func with(s *stub) func(*Config) {
	return func(c *Config) { c.Engines.ExternalURLs = append(c.Engines.ExternalURLs, s.URL) }
}

func call(path string, stream bool) spec.Call {
	return spec.Call{RequestID: "req-1", Deployment: "d", Version: 3, Path: path, Stream: stream, Attempt: 1, PromptTokens: 10}
}
