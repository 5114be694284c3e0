//go:build mutants

package chaos

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The traces that a broken build has and no other may have.
var traces = []string{"LOTABOTS_MUTANT", "cluster/spec/mutant"}

func built(t *testing.T, variable, path string) string {
	t.Helper()
	path, err := filepath.Abs(cmp.Or(os.Getenv(variable), path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make mutants", err)
	}
	return path
}

// TestMutantsAreCaught runs builds that are broken on purpose. Each is to be
// caught by a check that its fault concerns, and the same build with nothing
// broken is to pass.
func TestMutantsAreCaught(t *testing.T) {
	binary := built(t, "LOTABOTS_MUTANT_BIN", "../bin/lotabots-mutant")
	for _, c := range []struct {
		mutant   string
		seed     int64
		duration time.Duration
		faults   []Kind
		checks   []string // one of them has to catch it
	}{
		{"", 1, 15 * time.Second, []Kind{Kill, Power}, nil},
		{"silent-truncation", 1, 8 * time.Second, []Kind{Stop}, []string{CheckOutcome}},
		{"answer-before-record", 1, 10 * time.Second, []Kind{Kill}, []string{CheckLedger}},
		{"double-dispatch", 1, 8 * time.Second, []Kind{Stop}, []string{CheckDispatch, CheckOutcome}},
		{"stale-read", 1, 8 * time.Second, []Kind{Stop}, []string{CheckRegistry}},
		{"dropped-revoke", 1, 8 * time.Second, []Kind{Stop}, []string{CheckRevoked, CheckDurable}},
		// What was lost is missed by clients, or by a node whose state is ahead of its log: it stops.
		{"ack-before-sync", 1, 10 * time.Second, []Kind{Power}, []string{CheckRegistry, CheckDurable, CheckWhole}},
	} {
		t.Run(cmp.Or(c.mutant, "nothing"), func(t *testing.T) {
			var limits Limits
			if c.mutant == "" { // a machine under load is no fault of the build's
				limits = Limits{Writable: 15 * time.Second, Revoked: 5 * time.Second, Settle: time.Minute}
			}
			run := func(seed int64) *Report {
				dir := t.TempDir()
				r, err := Run(t.Context(), Config{
					Seed: seed, Duration: c.duration, Faults: c.faults, Nodes: 3, Engine: "none", Binary: binary, Report: filepath.Join(dir, "report"),
					Data: filepath.Join(dir, "cluster"), Env: []string{traces[0] + "=" + c.mutant}, Out: t.Output(), Limits: limits,
				})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			if c.mutant == "" {
				if r := run(c.seed); !r.Sound() {
					t.Errorf("a build with nothing broken: %s", r.Markdown())
				}
				return
			}
			var last *Report
			for seed := c.seed; seed < c.seed+chances; seed++ {
				last = run(seed)
				for _, check := range c.checks {
					if v := last.Verdict(check); len(v.Violations) > 0 {
						t.Logf("seed %d caught it %d times, first: %s: %s", seed, len(v.Violations), check, v.Violations[0].Text)
						return
					}
				}
			}
			t.Errorf("not caught by any of %v with %d seeds: %s", c.checks, chances, last.Markdown())
		})
	}
}

// chances: a fault shows only if a client happens to look where it struck.
const chances = 3

// TestReleaseHasNoMutant: what `make build` leaves cannot be broken by a variable.
func TestReleaseHasNoMutant(t *testing.T) {
	has := func(path string) []string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, trace := range traces {
			if bytes.Contains(raw, []byte(trace)) {
				found = append(found, trace)
			}
		}
		return found
	}
	for _, release := range []string{"../bin/lotabots", "../bin/lotabots-engine"} {
		if found := has(built(t, "", release)); len(found) > 0 {
			t.Errorf("%s has %s", release, strings.Join(found, ", "))
		}
	}
	if found := has(built(t, "LOTABOTS_MUTANT_BIN", "../bin/lotabots-mutant")); len(found) != len(traces) {
		t.Errorf("the mutant build has only %v of %v: this test could not fail", found, traces)
	}
}

// TestAccessCatchesRevocationsThatAreDropped: of keys, of sessions and of roles.
func TestAccessCatchesRevocationsThatAreDropped(t *testing.T) {
	binary := built(t, "LOTABOTS_MUTANT_BIN", "../bin/lotabots-mutant")
	missed := map[string]bool{whatKey: true, whatSession: true, whatBinding: true}
	for seed := int64(1); seed <= chances && len(missed) > 0; seed++ {
		r, err := Access(t.Context(), AccessConfig{Seed: seed, Binary: binary, Nodes: 3, Duration: 8 * time.Second, MaxAge: 2 * time.Second,
			Limits: Limits{Writable: 10 * time.Second, Settle: 45 * time.Second}, Env: []string{traces[0] + "=dropped-revoke"}, Out: t.Output()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Cluster != "" {
			_ = os.RemoveAll(r.Cluster)
		}
		for _, v := range r.Verdict(CheckShut).Violations {
			for what := range missed {
				if strings.Contains(v.Text, "lets "+what+" ") {
					t.Logf("seed %d: %s", seed, v.Text)
					delete(missed, what)
				}
			}
		}
	}
	if len(missed) > 0 {
		t.Errorf("not caught with %d seeds: %v", chances, missed)
	}
}
