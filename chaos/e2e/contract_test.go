//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// contractLeftOut are the operations that end the run itself: they take away the only node. What else the run
// stands on (its keys, its deployments) is spared by contract/hooks.py. Nothing else is left out.
var contractLeftOut = []string{"removeNode", "drainNode"}

// contractChecks that are not used: what is refused or accepted beyond the schema is the gateway's own tests'
// matter (many rules, such as "a role that exists", no schema can tell), attempts with wrong credentials run
// into the guard against guessing, and honest_errors in contract/hooks.py is stricter than not_a_server_error.
var contractChecks = []string{"not_a_server_error", "negative_data_rejection", "positive_data_acceptance", "ignored_auth", "missing_required_header"}

// TestContractUnderFuzzing: schemathesis reads /openapi.json of a real process and makes requests of it, fitting
// and unfitting. None fails the server, and no answer is other than described. LOTABOTS_CONTRACT=full makes many
// more, in sequences too (a number: so many of each operation), and LOTABOTS_CONTRACT_SEED others.
func TestContractUnderFuzzing(t *testing.T) {
	m := startMocks(t)
	c := startCluster(t, []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + strings.Join(m.urls(), ",")}, "--nodes", "1", "--regions", "north")
	c.run("deploy", mockFast, "--engine", "external", "--option", "url="+m.engines[mockFast], "--slots", "8")
	plain := c.key("plain")
	c.await(time.Minute, "the mock is ready", func() bool { return c.readyInstances() >= 2 })
	full, many := long()
	own := strings.Split(c.file.AdminKey, "-")[1] // the key's id
	pythonClients(t, "contract/contract.txt")
	t.Cleanup(func() {
		answer, _, err := call(context.Background(), "GET", c.file.Nodes[0].API+"/admin/v1/status", c.file.AdminKey, nil)
		if err != nil || answer.StatusCode != 200 {
			t.Errorf("afterwards: %v %v", answer, err)
		}
	})
	for _, who := range []struct {
		name, key       string
		examples        int
		phases          string
		reached, inFull int // operations that must have succeeded
	}{
		{"plain", plain.Key, 1, "fuzzing", 8, 20},
		{"owner", c.file.AdminKey, 2, "coverage,fuzzing", 60, 90},
	} {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			if full {
				who.examples, who.phases, who.reached = many, "coverage,fuzzing,stateful", who.inFull
			}
			began := time.Now()
			out := schemathesis(t, c.file.Nodes[0].API, who.key, who.examples, who.phases,
				append(os.Environ(), "MODEL="+mockFast, fmt.Sprintf("REACHED=%d", who.reached),
					"PROTECTED="+strings.Join([]string{own, plain.ID, mockFast, c.file.Deployment, "default"}, ",")))
			t.Logf("%s\ntook %.0f s", out, time.Since(began).Seconds())
		})
	}
}

// long tells whether LOTABOTS_CONTRACT asks for the long form, and with how many examples of each operation.
func long() (full bool, examples int) {
	text := os.Getenv("LOTABOTS_CONTRACT")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return true, n
	}
	return text == "full", 100
}

// schemathesis runs it and returns the interesting lines of what it says.
func schemathesis(t *testing.T, api, key string, examples int, phases string, environment []string) string {
	t.Helper()
	errors, err := filepath.Abs("../../node/docs/ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := filepath.Abs("contract")
	if err != nil {
		t.Fatal(err)
	}
	seed := os.Getenv("LOTABOTS_CONTRACT_SEED")
	if seed == "" {
		seed = "1"
	}
	arguments := []string{"run", api + "/openapi.json", "-H", "Authorization: Bearer " + key, "--seed", seed, "-n", fmt.Sprint(examples),
		"--phases", phases, "--continue-on-failure", "--warnings", "off", "--exclude-checks", strings.Join(contractChecks, ",")}
	if full, _ := long(); !full {
		arguments = append(arguments, "--exclude-method", "HEAD") // gateway's contract test holds them against GET
	}
	for _, id := range contractLeftOut {
		arguments = append(arguments, "--exclude-operation-id", id)
	}
	program := filepath.Join(filepath.Dir(pythonClients(t, "contract/contract.txt")), "schemathesis")
	return command(t, t.TempDir(), append(environment, "ERRORS="+errors, "SCHEMATHESIS_HOOKS=hooks", "PYTHONPATH="+hooks,
		"PYTHONDONTWRITEBYTECODE=1", "NO_COLOR=1"), program, arguments...)
}
