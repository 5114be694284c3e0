package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/config"
)

// TestUnknownVariableIsWarnedOf: it is not the node's to refuse, but its value is ignored.
func TestUnknownVariableIsWarnedOf(t *testing.T) {
	logs := &lockedBuffer{}
	Environment([]string{"LOTABOTS_LOG_LEVELL=hidden", "LOTABOTS_LOG_LEVEL=debug", "LOTABOTS_SYSTEM=x"})(&Node{log: slog.New(slog.NewJSONHandler(logs, nil))})
	if !logs.holds("WARN", "LOTABOTS_LOG_LEVELL", "LOTABOTS_LOG_LEVEL\"") || strings.Count(logs.whole(), "\n") != 1 || strings.Contains(logs.whole(), "hidden") {
		t.Errorf("%s", logs.whole())
	}
}

// rewrite changes the node's file.
func (n *testNode) rewrite(old, next string) {
	n.t.Helper()
	path := ConfigFile(n.cfg.Node.Data)
	raw, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	if !strings.Contains(string(raw), old) {
		n.t.Fatalf("%q is not in\n%s", old, raw)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), old, next, 1)), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// TestReload changes a running node's file: what may change is in force, what
// may not is named, and a bad file changes nothing.
func TestReload(t *testing.T) {
	n := found(t, "n1", "north")
	debug := func() bool { return n.node.log.Enabled(t.Context(), slog.LevelDebug) }
	if !debug() {
		t.Fatal("the harness logs at debug")
	}
	n.rewrite("level: debug", "level: warn")
	n.rewrite("queue-timeout: 10s", "queue-timeout: 100ms")
	n.rewrite("dead-grace: 5s", "dead-grace: 7s")
	n.rewrite("external-urls: []", "external-urls: [http://127.0.0.1:1/]")
	n.rewrite("zone: a", "zone: other")
	r, err := AskReload(t.Context(), n.cfg.Node.Data)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Taken) != 4 || len(r.Restart) != 1 || r.Restart[0] != (config.Change{Key: "node.zone", From: "a", To: "other"}) {
		t.Errorf("got %+v", r)
	}
	now := n.node.Running()
	if debug() || now.API.QueueTimeout != 100*time.Millisecond || now.Placement.DeadGrace != 7*time.Second || now.Node.Zone != "a" {
		t.Errorf("debug %v, running %+v", debug(), now)
	}
	if now.Log.Level != "warn" || !strings.Contains(n.logs.whole(), `"key":"node.zone"`) || !strings.Contains(n.logs.whole(), `"key":"log.level","from":"debug","to":"warn"`) {
		t.Error("the log does not name what changed")
	}

	n.rewrite("level: warn", "level: loud")
	n.rewrite("queue-timeout: 100ms", "queue-timeout: 1m")
	_, err = AskReload(t.Context(), n.cfg.Node.Data)
	var told *spec.Error
	if !errors.As(err, &told) || told.Code != spec.CodeInvalidRequest || !strings.Contains(err.Error(), `log.level = "loud"`) {
		t.Errorf("a bad file: %v", err)
	}
	if now := n.node.Running(); now.API.QueueTimeout != 100*time.Millisecond || now.Log.Level != "warn" {
		t.Errorf("a bad file changed something: %+v", now)
	}

	n.rewrite("level: loud", "level: debug")
	var answer Reloaded
	n.admin("POST", "/admin/v1/nodes/n1/reload", nil, &answer)
	if len(answer.Taken) != 2 || len(answer.Restart) != 1 || !debug() {
		t.Errorf("by the API: %+v", answer)
	}
	if status := n.get("/readyz", ""); status != http.StatusOK {
		t.Errorf("readyz %d", status)
	}
}

// TestReloadOfAnotherNode goes by the cluster port.
func TestReloadOfAnotherNode(t *testing.T) {
	severalNodes(t)
	n := found(t, "n1", "north")
	m := n.join("n2", "south", "worker")
	await(t, 30*time.Second, "n2 is known", func() bool { _, ok := n.node.state.Node("n2"); return ok && n.node.alive("n2") })
	m.rewrite("drain-grace: 10m0s", "drain-grace: 9m0s")
	var answer Reloaded
	n.admin("POST", "/admin/v1/nodes/n2/reload", nil, &answer)
	if len(answer.Taken) != 1 || answer.Taken[0].Key != "placement.drain-grace" || m.node.Running().Placement.DrainGrace != 9*time.Minute {
		t.Errorf("got %+v", answer)
	}
}

func TestReloadWhereNoNodeRuns(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := AskReload(ctx, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no node runs in") {
		t.Errorf("got %v", err)
	}
}

// TestTracesByAChangedShare: 0 records none, 1 records all.
func TestTracesByAChangedShare(t *testing.T) {
	var s share
	id := trace.TraceID{0xff, 1, 2, 3, 4, 5, 6, 7, 0x7f, 9, 10, 11, 12, 13, 14, 15}
	for _, ratio := range []float64{0, 1, 0} {
		s.set(ratio)
		got := s.ShouldSample(sdktrace.SamplingParameters{ParentContext: t.Context(), TraceID: id}).Decision
		if (got == sdktrace.RecordAndSample) != (ratio == 1) {
			t.Errorf("at %v: %v", ratio, got)
		}
	}
}
