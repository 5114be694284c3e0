package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const unitFile = "deploy/lotabots.service"

// TestUnitKeepsEngines: a restart of the service must not reach the engines.
func TestUnitKeepsEngines(t *testing.T) {
	raw, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for _, want := range []string{"KillMode=process", "OOMPolicy=continue", "Delegate=yes", "Restart=always", "KillSignal=SIGTERM"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the unit does not say %s", want)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: the unit was read, not verified")
		return
	}
	// It wants the program of ExecStart to be there.
	unit := filepath.Join(t.TempDir(), "lotabots.service")
	program := strings.ReplaceAll(string(raw), "/usr/local/bin/lotabots", "/bin/true")
	if err := os.WriteFile(unit, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(verify, "verify", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "lotabots.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
