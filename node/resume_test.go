package node

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
)

// A quarantine ends by resume, whether or not the node was drained before.
func TestResumeEndsAQuarantine(t *testing.T) {
	faults := filepath.Join(t.TempDir(), "faults.json")
	n := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	n.cfg.Devices.Kind, n.cfg.Devices.Simulated, n.cfg.Devices.MemoryMB, n.cfg.Devices.FaultFile = "simulated", 1, 64, faults
	if _, err := Init(n.cfg, "test"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.ready()
	health := func(want bool) {
		t.Helper()
		var last string
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			for _, d := range n.node.observed.devices() {
				if last = d.Load.GetHealth(); (last == device.Healthy) == want {
					return
				}
			}
		}
		t.Fatalf("the device's health is %q", last)
	}
	health(true)
	for _, fault := range []string{"48", "95"} { // an Xid counts when it changes
		if err := os.WriteFile(faults, []byte(`{"gpu/sim-n1-0": {"xid": `+fault+`}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		health(false)
		if fault == "95" {
			n.admin(http.MethodPost, "/admin/v1/nodes/n1/drain", nil, nil)
		}
		n.admin(http.MethodPost, "/admin/v1/nodes/n1/resume", nil, nil)
		health(true)
	}
}
