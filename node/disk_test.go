package node

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/diskfault"
)

// page returns what the node answers without a key.
func (n *testNode) page(path string) (code int, body string) {
	n.t.Helper()
	answer, err := http.Get("http://" + n.cfg.API.Listen + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.StatusCode, string(raw)
}

// TestStalledDiskIsToldOf: a voter whose disk stands still says so, to whoever asks
// it and to the others, who count on it no more; it serves on, and is a voter like
// any other once the disk moves on.
func TestStalledDiskIsToldOf(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n1.join("n2", "north", "voter")
	disk := diskfault.New(storage.Memory())
	n3 := &testNode{t: t, cfg: configured(t, "n3", "north", "voter", "gateway"), logs: &lockedBuffer{}, with: []Option{func(n *Node) { n.disk = disk }}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := Join(ctx, n3.cfg, n1.cfg.Cluster.Listen, n1.token("voter"), "test"); err != nil {
		t.Fatal(err)
	}
	n3.start()
	t.Cleanup(disk.Resume) // before n3 is stopped
	n3.ready()
	seen := func(on *testNode, ok func(of gateway.NodeStatus) bool) func() bool {
		return func() bool {
			var s gateway.Status
			on.admin("GET", "/admin/v1/status", nil, &s)
			for _, of := range s.Nodes {
				if of.ID == "n3" {
					return ok(of)
				}
			}
			return false
		}
	}
	await(t, 30*time.Second, "n3 votes", seen(n1, func(of gateway.NodeStatus) bool { return of.Voter && of.Fault == "" }))

	disk.Stall()
	n1.admin("PUT", "/admin/v1/tenants/acme", map[string]any{"name": "Acme"}, nil) // by the others
	await(t, 30*time.Second, "n3 is known to have a fault", seen(n1, func(of gateway.NodeStatus) bool { return of.Alive && of.Voter && of.Fault == "disk stalled" }))
	if n1.node.fit("n3") || !n1.node.fit("n2") || !n1.node.fit("n1") {
		t.Error("n3 is counted on, or another is not")
	}
	var ready struct{ Status, Disk string }
	code, body := n3.page("/readyz")
	if err := json.Unmarshal([]byte(body), &ready); err != nil || code != 200 || ready.Status != "ready" || ready.Disk == "" {
		t.Errorf("n3's readiness: %d %s", code, body)
	}
	if _, body := n3.page("/metrics"); !strings.Contains(body, "\nlotabots_storage_stalled 1\n") {
		t.Error("n3's metrics do not tell of it")
	}
	var s gateway.Status
	n3.admin("GET", "/admin/v1/status", nil, &s)
	if s.Disk == "" {
		t.Error("n3's own status does not tell of it")
	}

	disk.Resume()
	await(t, 30*time.Second, "n3 has no fault any more", seen(n1, func(of gateway.NodeStatus) bool { return of.Fault == "" }))
	if _, body := n3.page("/readyz"); !strings.Contains(body, `"disk":""`) || !n1.node.fit("n3") {
		t.Errorf("n3 after that: %s", body)
	}
}

// TestNotReadyOnAStalledDisk: a node that starts on one gets no clients yet.
func TestNotReadyOnAStalledDisk(t *testing.T) {
	disk := diskfault.New(storage.Memory())
	db, err := storage.Open("db", storage.Options{FS: disk, StallLimit: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	disk.Stall()
	defer disk.Resume()
	synced := make(chan error, 1)
	go func() { synced <- db.Sync() }()
	n := &Node{db: db}
	await(t, 30*time.Second, "the node is not ready for its disk", func() bool { return n.db.Health() != nil && n.unready() == storage.ErrStalled.Error() })
	disk.Resume()
	if err := <-synced; err != nil {
		t.Error(err)
	}
}
