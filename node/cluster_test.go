package node

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/demo"
)

// TestThreeNodes: what is written on one node is in force on the others, a
// revocation too, and stays so over a restart of all.
func TestThreeNodes(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2, n3 := n1.join("n2", "north", allRoles...), n1.join("n3", "south", allRoles...)
	nodes := []*testNode{n1, n2, n3}
	for _, n := range nodes {
		n.ready()
	}
	await(t, 30*time.Second, "all three vote", func() bool { return len(n1.node.raft.Voters()) == 3 })

	var made struct{ ID, Key string }
	n2.admin("POST", "/admin/v1/keys", map[string]any{"name": "everywhere", "scopes": []string{"infer"}}, &made)
	for _, n := range nodes {
		await(t, 30*time.Second, "the key works on "+n.cfg.Node.ID, func() bool { return n.get("/v1/models", made.Key) == http.StatusOK })
	}
	var told struct{ Lagging []string }
	n3.admin("DELETE", "/admin/v1/keys/"+made.ID, nil, &told)
	if len(told.Lagging) != 0 {
		t.Errorf("nodes lag behind in a healthy cluster: %v", told.Lagging)
	}
	for _, n := range nodes { // at once: the answer says that everybody has applied it
		if got := n.get("/v1/models", made.Key); got != http.StatusUnauthorized {
			t.Errorf("%s answers %d to the revoked key", n.cfg.Node.ID, got)
		}
	}
	var s gateway.Status
	n2.admin("GET", "/admin/v1/status", nil, &s)
	if len(s.Nodes) != 3 || len(s.Regions) != 2 || s.Leader == "" {
		t.Errorf("status: %+v", s)
	}

	for _, n := range nodes {
		n.stop()
	}
	for _, n := range nodes {
		n.start()
	}
	for _, n := range nodes {
		n.ready()
		if got := n.get("/v1/models", made.Key); got != http.StatusUnauthorized {
			t.Errorf("%s answers %d to the revoked key after its restart", n.cfg.Node.ID, got)
		}
	}
}

// TestOneNode: a cluster of one serves the demonstration's question, many at a time.
func TestOneNode(t *testing.T) {
	needsEngine(t)
	n := found(t, "n1", "north")
	n.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	n.admin("PUT", "/admin/v1/deployments/tiny", map[string]any{"engine": "embedded", "model": "tiny", "replicas": 1, "slots": 2}, nil)
	await(t, 60*time.Second, "the instance is ready", func() bool {
		var s gateway.Status
		n.admin("GET", "/admin/v1/status", nil, &s)
		return len(s.Instances) == 1 && s.Instances[0].State == "ready"
	})
	key := n.adminKey()
	var asking sync.WaitGroup
	for range 4 { // twice as many as there are slots: two wait in the gateway
		asking.Go(func() {
			for range 3 {
				got, err := n.chat(key, "tiny", demo.Question)
				for end := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), "HTTP 429") && time.Now().Before(end); { // after ten seconds in which others were slow
					got, err = n.chat(key, "tiny", demo.Question)
				}
				if err != nil || got != demo.Answer {
					t.Errorf("got %q (%v)", got, err)
				}
			}
		})
	}
	asking.Wait()
	await(t, 30*time.Second, "every place has been given back", func() bool { return n.node.actors.Running() == 0 })
}

// TestWhatHasNoPlaceIsTold on every node, and a preset that is a slip of the pen is not taken.
func TestWhatHasNoPlaceIsTold(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	g := n1.join("g1", "north", "gateway")
	n1.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	n1.admin("PUT", "/admin/v1/deployments/huge", map[string]any{"engine": "embedded", "model": "tiny", "replicas": 2, "memory_bytes": uint64(1) << 50}, nil)
	g.ready()
	for _, n := range []*testNode{n1, g} {
		await(t, 30*time.Second, "the lack is told", func() bool {
			var s gateway.Status
			n.admin("GET", "/admin/v1/status", nil, &s)
			return len(s.Lacking) == 1 && s.Lacking[0].Deployment == "huge" && s.Lacking[0].Version == 1 && s.Lacking[0].Reason != ""
		})
	}
	err := client.New(n1.adminKey(), "http://"+n1.cfg.API.Listen).Do(t.Context(), "PUT", "/admin/v1/deployments/huge",
		map[string]any{"engine": "lama-server", "model": "tiny"}, nil)
	if err == nil || !strings.Contains(err.Error(), "embedded") {
		t.Errorf("an unknown engine: %v", err)
	}
}

// TestModelTravels: a model imported on one node is fetched and loaded by another
// in another region, and served through both and through a gateway of its own.
func TestModelTravels(t *testing.T) {
	severalNodes(t)
	needsEngine(t)
	n1 := found(t, "n1", "north")
	w := n1.join("w1", "south", "worker")
	g := n1.join("g1", "north", "gateway")
	n1.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	n1.admin("PUT", "/admin/v1/deployments/tiny", map[string]any{"engine": "embedded", "model": "tiny", "replicas": 1, "regions": []string{"south"}}, nil)
	await(t, 30*time.Second, "the instance is ready", func() bool {
		var s gateway.Status
		n1.admin("GET", "/admin/v1/status", nil, &s)
		return len(s.Instances) == 1 && s.Instances[0].State == "ready" && s.Instances[0].Node == "w1"
	})
	if g.node.actors != nil || g.node.raft != nil || w.node.raft != nil {
		t.Error("a gateway has actors, or a node that is no voter runs Raft")
	}
	for _, n := range []*testNode{n1, g} {
		n.ready()
		got, err := n.chat(n1.adminKey(), "tiny", demo.Question)
		if err != nil || got != demo.Answer {
			t.Errorf("through %s: %q (%v)", n.cfg.Node.ID, got, err)
		}
		id := `"request_id":"by-` + n.cfg.Node.ID + `"`
		await(t, 30*time.Second, "every hop has a line of the request", func() bool {
			return n.logs.holds(`"inference request"`, id) && w.logs.holds(`"inference for another node"`, id) && w.logs.holds(`"engine request"`, id)
		})
	}

	// A copy that has been damaged is set aside, and fetched again.
	w.stop()
	damage(t, filepath.Join(w.cfg.Node.Data, "models"))
	w.start()
	await(t, 30*time.Second, "the instance is ready again", func() bool {
		var s gateway.Status
		n1.admin("GET", "/admin/v1/status", nil, &s)
		return len(s.Instances) == 1 && s.Instances[0].State == "ready" && w.logs.holds("is damaged", "model_damaged")
	})
	if got, err := n1.chat(n1.adminKey(), "tiny", demo.Question); err != nil || got != demo.Answer {
		t.Errorf("after the damage: %q (%v)", got, err)
	}
}

// damage changes a byte of the one model in dir.
func damage(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.gguf"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("models in %s: %v (%v)", dir, paths, err)
	}
	raw, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0xff
	if err := os.WriteFile(paths[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
