package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSecondDocument(t *testing.T) {
	const first = "node:\n  id: n1\n"
	for text, want := range map[string]string{
		first:                                "",
		first + "---\n":                      "",
		"---\n" + first + "...\n":            "",
		first + "---\n# nothing\n":           "",
		first + "---\nlog:\n  level: warn\n": "a second document, at line 4",
		"---\n---\n" + first:                 "a second document, at line 3",
		first + "---\nlog: [\n":              "a second document, which is no YAML",
	} {
		_, err := Load(Sources{File: write(t, text), Env: func(name string) (string, bool) { return "n1", name == "LOTABOTS_NODE_ID" }})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestUnknownEnv(t *testing.T) {
	got := UnknownEnv([]string{
		"LOTABOTS_NODE_RGION=hidden", "LOTABOTS_LOG_LEVELL=warn", "LOTABOTS_LOG_LEVEL=warn", "LOTABOTS_API_KEY=k", "LOTABOTS_WEATHER=fine", "HOME=/",
		"LOTABOTS_SERVICE_HOST=10.0.0.1", "LOTABOTS_PORT=tcp://10.0.0.1:8080", "LOTABOTS_PORT_8080_TCP_ADDR=10.0.0.1", "LOTABOTS_API_SERVICE_PORT_HTTP=80", "=x", "",
	})
	want := []string{"LOTABOTS_LOG_LEVELL>LOTABOTS_LOG_LEVEL", "LOTABOTS_NODE_RGION>LOTABOTS_NODE_REGION", "LOTABOTS_WEATHER>"}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i, p := range got {
		if p.Key+">"+p.Nearest != want[i] || strings.Contains(p.String(), "hidden") {
			t.Errorf("%v, want %s", p, want[i])
		}
	}
}

// TestEveryVariableIsKnown: whoever reads a new one has UnknownEnv know it.
func TestEveryVariableIsKnown(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads the whole tree on one goroutine: nothing for the race detector")
	}
	name := regexp.MustCompile(`\bLOTABOTS_[A-Z_]*[A-Z]\b`)
	count := 0
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "bin" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if d.Name() == "given_test.go" || d.Name() == "config_test.go" || d.Name() == "reload_test.go" || d.IsDir() || !strings.HasSuffix(path, ".go") && d.Name() != "Makefile" {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range name.FindAllString(string(text), -1) {
			count++
			if strings.HasPrefix(found, "LOTABOTS_MUTANT") && len(brokenEnv) == 0 {
				continue // not this build's, and told of
			}
			if unknown := UnknownEnv([]string{found + "=x"}); len(unknown) > 0 && found != "LOTABOTS_ADMIN" { // which is a prefix
				t.Errorf("%s: %v", path, unknown[0])
			}
		}
		return err
	})
	if err != nil || count < 20 {
		t.Errorf("%d variables found (%v)", count, err)
	}
}
