package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/node/dev"
)

// status makes one node's view of two nodes.
func status(t *testing.T, text string) view {
	t.Helper()
	var v view
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUnwhole(t *testing.T) {
	const whole = `{"leader":"a","state_index":9,"nodes":[{"id":"a","alive":true},{"id":"b","alive":true}],"instances":[{"deployment":"m","state":"ready"},{"deployment":"m","state":"ready"}]}`
	ids, wanted := []string{"a", "b"}, map[string]int{"m": 2}
	for _, c := range []struct{ old, new, says string }{
		{"", "", ""},
		{`"leader":"a"`, `"leader":""`, "no leader"},
		{`"leader":"a"`, `"leader":"b"`, "follows"},
		{`"id":"b","alive":true`, `"id":"b","alive":false`, "does not see node b"},
		{`,{"id":"b","alive":true}`, ``, "does not see node b"},
		{`"state":"ready"}]`, `"state":"loading"}]`, "1 of 2 instances of m"},
		{`"state_index":9`, `"state_index":8`, "state 8"},
	} {
		views := []view{status(t, whole), status(t, strings.Replace(whole, c.old, c.new, 1))}
		got := unwhole(ids, views, wanted, 9)
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s -> %s: %q", c.old, c.new, got)
		}
	}
}

// TestConsent: only the node's own file counts, not the environment.
func TestConsent(t *testing.T) {
	root := t.TempDir()
	t.Setenv("LOTABOTS_CHAOS_ALLOW", "true")
	made := func(id string, allow bool) string {
		dir := filepath.Join(root, id)
		c := config.Default()
		c.Node.ID, c.Chaos.Allow = id, allow
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := config.Write(filepath.Join(dir, "node.yaml"), c); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	f := &dev.File{Nodes: []dev.Node{{ID: "n1", Data: made("n1", true)}, {ID: "n2", Data: made("n2", false)}}}
	if err := f.Save(root); err != nil {
		t.Fatal(err)
	}
	if _, err := attach(Config{Attach: root}); err == nil || !strings.Contains(err.Error(), "n2") || !strings.Contains(err.Error(), "chaos.allow") {
		t.Errorf("a node that does not agree: %v", err)
	}
	made("n2", true)
	if k, err := attach(Config{Attach: root}); err != nil || len(k.nodes) != 2 {
		t.Errorf("nodes that agree: %v", err)
	}
	f.Nodes = append(f.Nodes, dev.Node{ID: "n3", Data: filepath.Join(root, "n3")})
	if err := f.Save(root); err != nil {
		t.Fatal(err)
	}
	if _, err := attach(Config{Attach: root}); err == nil {
		t.Error("a node without a file agrees")
	}
}

func TestAKeptClusterWithoutRelaysCannotBeCut(t *testing.T) {
	dir := t.TempDir()
	f := &dev.File{Nodes: []dev.Node{{ID: "n1", Cluster: "127.0.0.1:20001"}}}
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	if s, err := openLinks(dir, 1); err == nil || !strings.Contains(err.Error(), "relays") {
		t.Errorf("got %v, %v", s, err)
	}
	made, err := openLinks(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	l := made.Links()
	made.Close()
	f.Nodes = []dev.Node{{ID: "n1", Listen: l[0].Listen.String(), Cluster: l[0].Advertise.String()}}
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := openLinks(dir, 1)
	if err != nil || again.Links()[0] != l[0] {
		t.Fatalf("got %v", err)
	}
	again.Close()
}

// TestInfer drives the client against the mock engine itself.
func TestInfer(t *testing.T) {
	e := mockengine.New(mockengine.Config{Tokens: 5, Faults: mockengine.Faults{Every: 3, Cut: 190}})
	server := httptest.NewServer(e)
	defer server.Close()
	h := NewHistory()
	n := node{Node: dev.Node{ID: "n1", API: server.URL}}
	want := []string{Complete, Complete, Broken, Complete}
	for i, result := range want {
		o := infer(t.Context(), h, newHTTP(), n, question{model: "m", prompt: "x", tokens: 5, stream: true, answer: expected(5)}, 1)
		if o.Result != result || o.Node != "n1" || o.End <= o.Begin {
			t.Errorf("request %d: %+v, want %s", i, o, result)
		}
		if seen := e.Seen(o.Request); seen.Dispatched != 1 {
			t.Errorf("request %d was seen %d times", i, seen.Dispatched)
		}
	}
	o := infer(t.Context(), h, newHTTP(), n, question{model: "m", tokens: 5, stream: true, answer: " t9"}, 1)
	if o.Result != Garbled {
		t.Errorf("another text: %+v", o)
	}
	server.Close()
	if o := infer(t.Context(), h, newHTTP(), n, question{model: "m", tokens: 5}, 1); o.Result != NoConnect {
		t.Errorf("without a server: %+v", o)
	}
}

// TestReplies: what an answer of the admin API says about a write.
func TestReplies(t *testing.T) {
	answers := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answers["code"] != "" {
			w.WriteHeader(503)
			_, _ = w.Write([]byte(`{"error":{"code":"` + answers["code"] + `"}}`))
			return
		}
		w.Header().Set("X-LotaBots-State-Index", "17")
		_, _ = w.Write([]byte(`{"id":"k1","key":"text","lagging":["n3"]}`))
	}))
	defer server.Close()
	r := &registry{history: NewHistory(), web: newHTTP()}
	n := node{Node: dev.Node{ID: "n1", API: server.URL}, key: "admin"}
	k, made := r.create(t.Context(), n, 1)
	if made.Result != Done || k.id != "k1" || k.text != "text" || r.newest.Load() != 17 {
		t.Errorf("created %+v, %+v, state %d", k, made, r.newest.Load())
	}
	if o := r.revoke(t.Context(), n, k, 1); o.Result != Done || len(o.Lagging) != 1 {
		t.Errorf("revoked: %+v", o)
	}
	for code, want := range map[string]string{"no_leader": Refused, "outcome_unknown": Unknown, "internal": Unknown, "deadline_exceeded": Unknown, "not_found": Absent} {
		answers["code"] = code
		if o := r.revoke(t.Context(), n, k, 1); o.Result != want {
			t.Errorf("%s: %+v, want %s", code, o, want)
		}
	}
	server.Close()
	if o := r.revoke(t.Context(), n, k, 1); o.Result != Refused {
		t.Errorf("without a server: %+v", o)
	}
}

func TestProcessesAreFoundByTheirDirectory(t *testing.T) {
	dir := t.TempDir()
	if found := processesOf(dir); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	if isNode(os.Getpid(), dir) || isNode(0, "") {
		t.Error("a stranger counts as a node")
	}
	var b tailBuffer
	for range 3000 {
		_, _ = b.Write([]byte("0123456789"))
	}
	if len(b.String()) != 8192 || !strings.HasSuffix(b.String(), "789") {
		t.Errorf("%d bytes kept", len(b.String()))
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if !sleep(ctx, time.Millisecond) {
		t.Error("a short sleep was cut off")
	}
	cancel()
	if sleep(ctx, time.Hour) {
		t.Error("a sleep outlived its context")
	}
}
