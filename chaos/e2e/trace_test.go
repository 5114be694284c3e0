//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector that keeps the spans it is sent, by trace.
type spans struct {
	mu   sync.Mutex
	seen map[string][]span
}

type span struct{ node, name, id, parent string }

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var batch collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &batch); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range batch.ResourceSpans {
		node := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.instance.id" {
				node = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, x := range scope.Spans {
				trace := hex.EncodeToString(x.TraceId)
				s.seen[trace] = append(s.seen[trace], span{node, x.Name, hex.EncodeToString(x.SpanId), hex.EncodeToString(x.ParentSpanId)})
			}
		}
	}
}

// TestTraceAcrossRegions: a request that enters at one node and is served by an
// actor of another, in another region, has one trace with every hop, linked from
// the client's span down to the engine's.
func TestTraceAcrossRegions(t *testing.T) {
	s := &spans{seen: map[string][]span{}}
	server := httptest.NewServer(s)
	defer server.Close()
	c := startCluster(t, []string{"LOTABOTS_TELEMETRY_OTLP=" + server.URL}, "--nodes", "2", "--regions", "east,west")
	// Only the second region may serve this deployment, and the first is asked.
	c.run("deploy", "far", "--model", c.file.Deployment, "--allowed-regions", "west")
	c.await(30*time.Second, "the far deployment is ready", func() bool { return c.readyInstances() == 3 })
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	body, _ := json.Marshal(chat("far", 1, 10, true))
	request, _ := http.NewRequestWithContext(context.Background(), "POST", c.file.Nodes[0].API+"/v1/chat/completions", bytes.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+c.file.AdminKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if node := answer.Header.Get("X-LotaBots-Node"); node != c.file.Nodes[1].ID || !strings.Contains(string(raw), "[DONE]") {
		t.Fatalf("served by %q: %s", node, raw)
	}
	want := map[string]string{"gateway.request": "n1", "infer.serve": "n2", "actor.admit": "n2", "engine.request": "n2"}
	c.await(30*time.Second, "every hop's span has come", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, node := range want {
			if !slices.ContainsFunc(s.seen[trace], func(x span) bool { return x.name == name && x.node == node }) {
				return false
			}
		}
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]bool{"00f067aa0ba902b7": true}
	for _, x := range s.seen[trace] {
		known[x.id] = true
	}
	for _, x := range s.seen[trace] {
		t.Logf("%s %s (%s under %s)", x.node, x.name, x.id, x.parent)
		if !known[x.parent] {
			t.Errorf("span %s of node %s hangs on nothing", x.name, x.node)
		}
	}
}
