package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/node/dev"
)

// A testNode is a node of a real cluster whose processes are this one.
type testNode struct {
	t    *testing.T
	cfg  config.Config
	node *Node
	logs *lockedBuffer
	with []Option
}

// configured returns the configuration of a node on free ports of 127.0.0.1.
func configured(t *testing.T, id, region string, roles ...string) config.Config {
	t.Helper()
	c := config.Default()
	c.Node.ID, c.Node.Region, c.Node.Roles, c.Node.Data = id, region, roles, filepath.Join(t.TempDir(), id)
	c.Cluster.Listen, c.API.Listen = freeAddr(t), freeAddr(t)
	c.Cluster.Rejoin = time.Second
	c.API.ShutdownIn = 5 * time.Second
	c.Placement.DeadGrace = 5 * time.Second
	c.Engines.Linger = 0
	c.Engines.Helper, _ = filepath.Abs("../bin/lotabots-engine")
	c.Log.Level = "debug"
	return c
}

// freeAddr is an address that is free for TCP and UDP at this moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := dev.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

var allRoles = []string{"voter", "worker", "gateway"}

// found makes a cluster of one node and runs it.
func found(t *testing.T, id, region string) *testNode {
	t.Helper()
	n := &testNode{t: t, cfg: configured(t, id, region, allRoles...), logs: &lockedBuffer{}}
	if _, err := Init(n.cfg, "test"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.ready()
	return n
}

// join makes a node a member by way of n and runs it.
func (n *testNode) join(id, region string, roles ...string) *testNode {
	n.t.Helper()
	severalNodes(n.t)
	m := &testNode{t: n.t, cfg: configured(n.t, id, region, roles...), logs: &lockedBuffer{}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := Join(ctx, m.cfg, n.cfg.Cluster.Listen, n.token(roles[0]), "test"); err != nil {
		n.t.Fatalf("joining %s: %v", id, err)
	}
	m.start()
	return m
}

func (n *testNode) token(role string) string {
	n.t.Helper()
	var made struct{ Token string }
	n.admin("POST", "/admin/v1/tokens", map[string]any{"role": role, "uses": 1, "ttl_seconds": 600}, &made)
	return made.Token
}

// start runs the node and stops it with the test.
func (n *testNode) start() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	options := append([]Option{func(n *Node) { n.calm = 300 * time.Millisecond }}, n.with...)
	if n.node, err = Start(ctx, n.cfg, "test", n.logs, options...); err != nil {
		n.t.Fatalf("starting %s: %v\n%s", n.cfg.Node.ID, err, n.logs.tail())
	}
	n.t.Cleanup(n.stop)
}

func (n *testNode) stop() {
	if n.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.node.Shutdown(ctx); err != nil {
		n.t.Errorf("stopping %s: %v", n.cfg.Node.ID, err)
	}
	n.node = nil
	if n.t.Failed() {
		n.t.Logf("last lines of %s:\n%s", n.cfg.Node.ID, n.logs.tail())
	}
}

// admin calls the admin API of n and insists on success.
func (n *testNode) admin(method, path string, in, out any) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.New(n.adminKey(), "http://"+n.cfg.API.Listen).Do(ctx, method, path, in, out); err != nil {
		n.t.Fatalf("%s %s on %s: %v", method, path, n.cfg.Node.ID, err)
	}
}

var adminKeys sync.Map // of the founder, by test

func (n *testNode) adminKey() string {
	if key, ok := adminKeys.Load(n.t); ok {
		return key.(string)
	}
	c, err := client.FromData(n.cfg.Node.Data)
	if err != nil {
		n.t.Fatal(err)
	}
	adminKeys.Store(n.t, c.Key)
	return c.Key
}

// get sends a GET with the key and returns the status.
func (n *testNode) get(path, key string) int {
	request, err := http.NewRequest("GET", "http://"+n.cfg.API.Listen+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// chat asks for an answer that is not streamed.
func (n *testNode) chat(key, model, question string) (string, error) {
	body, err := json.Marshal(map[string]any{"model": model, "temperature": 0, "messages": []map[string]string{{"role": "user", "content": question}}})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest("POST", "http://"+n.cfg.API.Listen+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Request-Id", "by-"+n.cfg.Node.ID)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %d: %s (%w)", answer.StatusCode, raw, err)
	}
	var doc struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal(raw, &doc); err != nil || len(doc.Choices) != 1 {
		return "", fmt.Errorf("%s (%w)", raw, err)
	}
	return strings.TrimSpace(doc.Choices[0].Message.Content), nil
}

// await polls until ok.
func await(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < limit {
		if ok() {
			return time.Since(began)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within %v", what, limit)
	return 0
}

// ready waits until the node's /readyz answers 200.
func (n *testNode) ready() {
	n.t.Helper()
	await(n.t, 30*time.Second, n.cfg.Node.ID+" is ready", func() bool { return n.get("/readyz", "") == http.StatusOK })
}

// severalNodes skips a test that runs more than one node, or one more than once,
// where the race detector would report what the actors' library does to gRPC's logging.
func severalNodes(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("several nodes in one process: the actors' library sets a global of gRPC's at each start")
	}
}

// needsEngine skips a test where the embedded engine was not built.
func needsEngine(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("../bin/lotabots-engine"); err != nil {
		t.Skip("bin/lotabots-engine is not there: make build makes it")
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) whole() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// holds tells whether one line has all of parts.
func (b *lockedBuffer) holds(parts ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.buf.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return true
		}
	}
	return false
}

func (b *lockedBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(b.buf.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
