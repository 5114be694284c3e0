//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

// TestNothingIsLost: keys and deployments under eight clients, while leaders are
// killed one after the other, and everybody at once. LOTABOTS_SYSTEM=full makes
// it 10,000 operations, 20 leaders and two outages, of which each size takes some
// minutes; by itself it is a sample of that. LOTABOTS_SYSTEM_REPORT names a
// directory for the histories.
func TestNothingIsLost(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			c := chaos.SystemConfig{Seed: int64(nodes), Binary: binary(t), Nodes: nodes, Ops: 600, Kills: 3, Outages: 1,
				Limits: chaos.Limits{Writable: 10 * time.Second, Settle: 45 * time.Second}, Out: t.Output()} // other tests may share the machine
			if os.Getenv("LOTABOTS_SYSTEM") == "full" {
				c.Ops, c.Kills, c.Outages = 10_000, 20, 2
			}
			report, err := chaos.System(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if dir := os.Getenv("LOTABOTS_SYSTEM_REPORT"); dir != "" {
				keep(t, filepath.Join(dir, fmt.Sprintf("system-%d.jsonl", nodes)), report.History)
			}
			for _, v := range report.Verdicts {
				t.Logf("%-10s looked at %6d, %d violations: %s", v.Check, v.Looked, len(v.Violations), v.Promise)
				for i, broken := range v.Violations {
					if i < 5 {
						t.Errorf("%s: %s", v.Check, broken.Text)
					}
				}
			}
			t.Logf("%d operations: %v", report.Ops, report.Counts)
			t.Logf("writable again after kills of the leader: %v; hashes: %v", report.Failover, report.Hashes)
		})
	}
}

func keep(t *testing.T, name string, ops []chaos.Op) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := chaos.WriteOps(f, ops); err != nil {
		t.Error(err)
	}
}
