package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/node/dev"
)

// cluster runs a cluster of one node, and returns its data directory.
func cluster(t *testing.T) string {
	t.Helper()
	c := config.Default()
	c.Node.ID, c.Node.Data, c.Devices.Kind = "n1", filepath.Join(t.TempDir(), "n1"), "cpu"
	c.Engines.Linger = 0
	c.Cluster.Listen, c.API.Listen, c.API.ShutdownIn = freePort(t), freePort(t), time.Second
	if _, err := node.Init(c, "test"); err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), c, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get("http://" + c.API.Listen + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return c.Node.Data
			}
		}
		if time.Now().After(end) {
			t.Fatal("the node is not ready")
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	addr, err := dev.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

const declared = `kind: deployment
name: far
engine: external
options: {url: "http://127.0.0.1:1/v1", model: "1e3"}
replicas: 2
regions: [local, "two words"]
---
kind: deployment
name: second
engine: external
options: {url: "http://127.0.0.1:1/v1"}
replicas: 0
tenant: acme
---
kind: tenant
id: acme
name: "Acme\u2028 & Söhne"
auth_max_age_seconds: 0
---
kind: setting
name: ui/colour
value: "two\nlines"
`

// TestApplyAndExport goes through a real node's API.
func TestApplyAndExport(t *testing.T) {
	data := cluster(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "cluster.yaml")
	save := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	apply := func(more ...string) (string, error) {
		return run(t, append([]string{"apply", "--data", data, "-f", file}, more...)...)
	}
	save(declared)
	out, err := apply("--dry-run")
	if !errors.Is(err, errDiffers) || !strings.Contains(out, "+ deployment far") || !strings.Contains(out, "4 to create, 0 to change, 0 to remove") {
		t.Fatalf("a dry run: %s, %v", out, err)
	}
	if out, err = apply(); err != nil || strings.Count(out, "done: ") != 4 {
		t.Fatalf("apply: %s, %v", out, err)
	}
	if out, err = apply("--dry-run"); err != nil || !strings.Contains(out, "0 to create, 0 to change, 0 to remove, 4 unchanged") || !strings.Contains(out, "1 more") {
		t.Errorf("once more: %s, %v", out, err)
	}

	exported, err := run(t, "export", "--data", data)
	if err != nil || !strings.Contains(exported, "id: default") || strings.Contains(exported, "secret") {
		t.Fatalf("export: %s, %v", exported, err)
	}
	save(exported)
	if out, err = apply("--dry-run", "--prune"); err != nil || !strings.Contains(out, "5 unchanged") {
		t.Errorf("export | apply: %s, %v", out, err)
	}

	save(strings.Replace(exported, "replicas: 2", "replicas: 3", 1))
	out, err = apply("--dry-run", "-o", "json")
	var plan struct {
		Changes []struct {
			Action, Name string
			Fields       []struct {
				Field    string
				From, To any
			}
		}
	}
	if unmarshal := json.Unmarshal([]byte(out), &plan); !errors.Is(err, errDiffers) || unmarshal != nil || len(plan.Changes) != 1 || len(plan.Changes[0].Fields) != 1 || plan.Changes[0].Fields[0].Field != "replicas" {
		t.Errorf("one field: %s, %v, %v", out, err, unmarshal)
	}
	if out, err = apply(); err != nil || !strings.Contains(out, "replicas: 2 -> 3") || strings.Count(out, "done: ") != 1 {
		t.Errorf("one field: %s, %v", out, err)
	}

	save("kind: setting\nname: colour\nvalue: red\n")
	if out, err = apply("--prune"); err != nil || !strings.Contains(out, "- deployment far") || !strings.Contains(out, "done: remove deployment second") {
		t.Errorf("prune: %s, %v", out, err)
	}
	if exported, err = run(t, "export", "--local", "--data", data); err != nil || strings.Contains(exported, "deployment") || !strings.Contains(exported, "id: acme") || !strings.Contains(exported, "value: red") {
		t.Errorf("after the prune: %s, %v", exported, err)
	}

	save("kind: deployment\nname: x\nmodel: none\n")
	if out, err = apply(); err == nil || !strings.Contains(err.Error(), "not imported") {
		t.Errorf("a model that is not there: %s, %v", out, err)
	}
	save("kind: deployment\nname: x\nmdel: none\n")
	if _, err = apply(); err == nil || !strings.Contains(err.Error(), `did you mean "model"?`) {
		t.Errorf("a field that is not known: %v", err)
	}
	save("# nothing\n")
	if _, err = apply("--prune"); err == nil || !strings.Contains(err.Error(), "every deployment") {
		t.Errorf("an empty file prunes: %v", err)
	}
}

func TestDocumentsOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(a, []byte("kind: tenant\nid: acme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	docs, err := readDocuments([]string{a, "-"}, bytes.NewReader([]byte("kind: setting\nname: s\n")))
	if err != nil || len(docs) != 2 {
		t.Errorf("%v, %v", docs, err)
	}
	if _, err := readDocuments([]string{a, "-"}, bytes.NewReader([]byte("kind: tenant\nid: acme\n"))); err == nil || !strings.Contains(err.Error(), "a.yaml already") {
		t.Errorf("twice: %v", err)
	}
}
