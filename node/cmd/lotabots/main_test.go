package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs the command line in this process and returns what it printed.
func run(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(arguments)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// TestEveryCommandExplainsItself: each has a short text, and its help names its flags' use.
func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(c *cobra.Command)
	count := 0
	walk = func(c *cobra.Command) {
		count++
		if c.Short == "" {
			t.Errorf("%s has no description", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
	if count < 25 {
		t.Errorf("only %d commands", count)
	}
}

func TestClientCommandsSayWhereToLook(t *testing.T) {
	t.Setenv("LOTABOTS_ENDPOINT", "")
	t.Setenv("LOTABOTS_API_KEY", "")
	t.Setenv("LOTABOTS_CONTEXT", t.TempDir()+"/none.json")
	os.Unsetenv("LOTABOTS_ENDPOINT")
	for _, c := range [][]string{{"status"}, {"keys", "ls"}, {"models", "ls"}, {"deployments", "ls"}, {"node", "drain", "x"}} {
		_, err := run(t, c...)
		if err == nil || !strings.Contains(err.Error(), "--data") {
			t.Errorf("lotabots %v without a cluster: %v", c, err)
		}
	}
}

// TestWrongUsageIsExplained: what is wrong, how it is used, and where to read more.
func TestWrongUsageIsExplained(t *testing.T) {
	for line, want := range map[string]string{
		"join":                    "HOST:PORT is missing",
		"join a:1 b:2":            `"b:2" is one argument too many`,
		"node drain":              "ID is missing",
		"keys create":             `"name" not set`,
		"dev restart n1":          `"data" not set`,
		"deploy x --replicas -1":  "--replicas",
		"deploy x --memory-mb -5": "--memory-mb must be from 0",
		"plan --model x --memory-mb 9223372036854775807": "--memory-mb must be from 0",
		"plan --model x --memory-mb 1073741825":          "--memory-mb must be from 0",
		"deploy x --keep-alive -5s":                      "--keep-alive must be from 1s to a year",
		"deploy x --keep-alive 200ms":                    "--keep-alive must be from 1s to a year",
		"deploy x --keep-alive 9000h":                    "--keep-alive must be from 1s to a year",
		"deploy x --min-resident -1s":                    "--min-resident must be from 1s to a year",
		"plan --model x --gpus 0":                        "--gpus must be from 1 to 64",
		"deploy x --slots -1":                            "--slots",
		"deploy x --context 4294967296":                  "--context",
		"keys ls --nonsense":                             "--nonsense",
		"status more":                                    `"more" is one argument too many`,
		"keys revok x":                                   `did you mean "revoke"?`,
		"models forget x":                                `there is no command "forget"`,
		"statsu":                                         `did you mean "status"?`,
		"chaos run --duration five":                      "--duration",
	} {
		_, err := run(t, strings.Fields(line)...)
		var wrong *usageError
		if !errors.As(err, &wrong) {
			t.Errorf("lotabots %s: %v is no usage error", line, err)
			continue
		}
		for _, part := range []string{want, "usage: lotabots ", "what to do: see lotabots "} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("lotabots %s: %q is missing from\n%v", line, part, err)
			}
		}
	}
	for _, group := range []string{"", "keys", "node", "chaos"} {
		if out, err := run(t, strings.Fields(group)...); err != nil || !strings.Contains(out, "Usage:") {
			t.Errorf("lotabots %s: %q (%v)", group, out, err)
		}
	}
}

func TestInitListsEveryProblem(t *testing.T) {
	_, err := run(t, "init", "--data", t.TempDir()+"/n", "--id", "Not Good", "--roles", "voter,king", "--cluster-listen", "nowhere")
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"node.id", "king", "cluster.listen"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestRunNeedsAMember(t *testing.T) {
	_, err := run(t, "node", "run", "--data", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "lotabots init") {
		t.Errorf("got %v", err)
	}
}

func TestDevChecksBeforeItStarts(t *testing.T) {
	for _, regions := range []string{",", "north,,south", ""} {
		if _, err := run(t, "dev", "--regions", regions); err == nil || !strings.Contains(err.Error(), "--regions") {
			t.Errorf("--regions %q: %v", regions, err)
		}
	}
}

// TestGatewayLeavesNodesAlone: the directory of a voter is not run as a gateway.
func TestGatewayLeavesNodesAlone(t *testing.T) {
	dir := t.TempDir() + "/n"
	if _, err := run(t, "init", "--data", dir, "--id", "n1"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "gateway", "--data", dir); err == nil || !strings.Contains(err.Error(), "node run") {
		t.Errorf("got %v", err)
	}
}

func TestVersion(t *testing.T) {
	out, err := run(t, "version")
	if err != nil || !strings.HasPrefix(out, "lotabots ") {
		t.Errorf("%q (%v)", out, err)
	}
}

// TestNothingThatNeedsCLibraries: what links llama.cpp or NVML is in lotabots-engine,
// so that the node starts on any Linux and a crash there ends no node.
func TestNothingThatNeedsCLibraries(t *testing.T) {
	list := exec.Command("go", "list", "-deps", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 300 {
		t.Fatalf("only %d packages: this is not the whole list", len(packages))
	}
	for _, p := range packages {
		for _, banned := range []string{"github.com/hybridgroup/yzma", "github.com/ebitengine/purego", "github.com/jupiterrider/ffi", "github.com/NVIDIA/go-nvml"} {
			if p == banned || strings.HasPrefix(p, banned+"/") {
				t.Errorf("lotabots imports %s: ask lotabots-engine, in a process of its own", p)
			}
		}
	}
}
