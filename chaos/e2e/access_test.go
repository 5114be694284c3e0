//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

// TestWhoIsLetIn: keys, roles and sessions under eight clients, while nodes are
// killed, stopped and cut off. LOTABOTS_SYSTEM=full makes it five minutes and the
// tenant's auth_max_age 10 s. LOTABOTS_SYSTEM_REPORT names a directory for the
// history.
func TestWhoIsLetIn(t *testing.T) {
	c := chaos.AccessConfig{Seed: 1, Binary: binary(t), Nodes: 5, Duration: 40 * time.Second, MaxAge: 4 * time.Second,
		Limits: chaos.Limits{Writable: 10 * time.Second, Settle: 45 * time.Second, Revoked: 2 * time.Second}, Out: t.Output()} // other tests may share the machine
	if os.Getenv("LOTABOTS_SYSTEM") == "full" {
		c.Duration, c.MaxAge = 5*time.Minute, 10*time.Second
	}
	report, err := chaos.Access(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("LOTABOTS_SYSTEM_REPORT"); dir != "" {
		keep(t, filepath.Join(dir, "access.jsonl"), report.History)
	}
	for _, v := range report.Verdicts {
		t.Logf("%-10s looked at %6d, %d violations: %s", v.Check, v.Looked, len(v.Violations), v.Promise)
		for i, broken := range v.Violations {
			if i < 5 {
				t.Errorf("%s: %s", v.Check, broken.Text)
			}
		}
	}
	t.Logf("%v", report.Counts)
	for _, check := range []string{chaos.CheckAccess, chaos.CheckRegisters, chaos.CheckShut, chaos.CheckCutOff} {
		if report.Verdict(check).Looked == 0 {
			t.Errorf("%s had nothing to look at", check)
		}
	}
}
