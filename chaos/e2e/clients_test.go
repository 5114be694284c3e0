//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/demo"
)

// A clientCase is what the scripts of the official clients are told, beside the variables that the
// libraries read by themselves.
type clientCase struct {
	Model    string `json:"model"`    // lota-tiny on the embedded engine
	Mock     string `json:"mock"`     // a mock, which calls tools and makes up what schemas want
	Paced    string `json:"paced"`    // a mock that streams for some seconds
	Silent   string `json:"silent"`   // a mock whose first token does not come in time
	Late     string `json:"late"`     // has no instance before one is asked for
	URL      string `json:"url"`      // of the fast mock
	Seen     string `json:"seen"`     // URL: what the paced and the silent mock saw, by request id
	API      string `json:"api"`      // URL of the gateway
	Admin    string `json:"admin"`    // the key that the libraries have
	Question string `json:"question"` // for Model
	Answer   string `json:"answer"`
	Wrong    string `json:"wrong"`   // a key that nobody made
	Revoked  string `json:"revoked"` // keys with a right less
	Narrow   string `json:"narrow"`  // may use Model alone
	Mute     string `json:"mute"`    // may not infer
	Limited  string `json:"limited"` // 60 requests a minute
}

// clientScripts are run one after another, each against another gateway, one of which is a sidecar.
var clientScripts = []struct{ name, language string }{
	{"openai", "python"}, {"openai", "node"}, {"anthropic", "python"}, {"anthropic", "node"}, {"langchain", "python"}, {"ai", "node"},
}

// TestOfficialClients: the libraries that people use do what they do elsewhere, with no setting but base
// URL and key. Each script says which of its steps went wrong.
func TestOfficialClients(t *testing.T) {
	m := startMocks(t)
	c := startCluster(t, []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + strings.Join(m.urls(), ",")})
	told := c.prepareClients(m)
	gateways := []string{c.startSidecar("sidecar").api}
	for _, n := range c.file.Nodes {
		gateways = append(gateways, n.API)
	}
	nodeClients(t)
	pythonClients(t, "clients/clients.txt")
	for i, s := range clientScripts {
		told.API = gateways[i%len(gateways)]
		told.Limited = c.key("limited-"+s.name+"-"+s.language, "--rpm", "60").Key // each script spends its own
		t.Run(s.name+"-"+s.language, func(t *testing.T) {
			t.Parallel() // they wait more than they do
			began := time.Now()
			out := runScript(t, s.name, s.language, append(os.Environ(), "CASE="+told.write(t),
				"OPENAI_BASE_URL="+told.API+"/v1", "OPENAI_API_KEY="+told.Admin,
				"ANTHROPIC_BASE_URL="+told.API, "ANTHROPIC_API_KEY="+told.Admin))
			t.Logf("%s\ntook %.1f s", out, time.Since(began).Seconds())
		})
	}
}

// write puts it into a file for a script.
func (told clientCase) write(t *testing.T) string {
	t.Helper()
	raw, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "case.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type madeKey struct{ ID, Key string }

// key makes one with further flags.
func (c *cluster) key(name string, more ...string) (made madeKey) {
	c.t.Helper()
	raw := c.run(append([]string{"keys", "create", "--name", name, "-o", "json"}, more...)...)
	if err := json.Unmarshal([]byte(raw), &made); err != nil || made.Key == "" {
		c.t.Fatalf("%v in %s", err, raw)
	}
	return made
}

// prepareClients deploys the mocks and makes the keys.
func (c *cluster) prepareClients(m *mocks) clientCase {
	c.t.Helper()
	for name, url := range m.engines {
		c.run("deploy", name, "--engine", "external", "--option", "url="+url, "--slots", "8")
	}
	c.run("deploy", "late", "--engine", "external", "--option", "url="+m.engines[mockFast], "--replicas", "0")
	gone := c.key("revoked")
	c.run("keys", "revoke", gone.ID)
	told := clientCase{
		Model: c.file.Deployment, Mock: mockFast, Paced: mockPaced, Silent: mockSilent, Late: "late", URL: m.engines[mockFast],
		Seen: m.seen, Admin: c.file.AdminKey, Question: demo.Question, Answer: demo.Answer,
		Wrong: "lb-wrong", Revoked: gone.Key, Narrow: c.key("narrow", "--models", c.file.Deployment).Key,
		Mute: c.key("mute", "--scopes", "metrics").Key,
	}
	c.await(time.Minute, "the mocks are ready", func() bool { return c.readyInstances() >= 2+len(m.engines) })
	return told
}

// runScript runs one of clients/ with the library that it needs.
func runScript(t *testing.T, name, language string, environment []string) string {
	t.Helper()
	switch language {
	case "node":
		dir := nodeClients(t)
		return command(t, dir, environment, "node", filepath.Join(dir, name+".mjs"))
	case "python":
		script, err := filepath.Abs(filepath.Join("clients", name+"_client.py"))
		if err != nil {
			t.Fatal(err)
		}
		return command(t, "clients", append(environment, "PYTHONDONTWRITEBYTECODE=1"), pythonClients(t, "clients/clients.txt"), script)
	}
	panic(fmt.Sprintf("no language %q", language))
}
