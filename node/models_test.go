package node

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/demo"
)

// padded is a GGUF's beginning and what an engine would not load: its bytes alone travel.
func padded(seed byte, size int) []byte {
	b := bytes.Repeat([]byte{seed, 7, 1, 9, seed}, size/5+1)[:size]
	for i := 0; i < size; i += 4096 {
		copy(b[i:], fmt.Sprint(seed, i)) // no two chunks are alike
	}
	copy(b, "GGUF\x03\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00")
	return b
}

type shownModel struct {
	Digest string                        `json:"digest"`
	Homes  []string                      `json:"homes"`
	Copies []struct{ Node, Kind string } `json:"copies"`
	Coming []gateway.ModelTransfer
	Checks []gateway.ModelCheck
}

func (n *testNode) model(name string) (m shownModel) {
	n.t.Helper()
	n.admin("GET", "/admin/v1/models/"+name, nil, &m)
	return m
}

func (m shownModel) whole() (nodes []string) {
	for _, c := range m.Copies {
		if c.Kind == "whole" {
			nodes = append(nodes, c.Node)
		}
	}
	return nodes
}

// TestModelsAreKept: a copy elsewhere before anybody asks, a flipped byte found and mended
// from there, a model removed from every disk after the grace.
func TestModelsAreKept(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2 := n1.join("n2", "north", "worker")
	content := padded(1, 9<<20)
	n1.admin("PUT", "/admin/v1/models/big", bytes.NewReader(content), nil)
	await(t, 30*time.Second, "the other node has a copy", func() bool { return len(n1.model("big").whole()) == 2 })

	damage(t, filepath.Join(n2.cfg.Node.Data, "models"))
	n1.admin("POST", "/admin/v1/models/big/verify", nil, nil)
	await(t, 30*time.Second, "the damage is found and mended", func() bool {
		for _, c := range n1.model("big").Checks {
			if c.Node == "n2" && !c.Running {
				if len(c.Damaged) != 1 || !c.Repaired || !strings.HasSuffix(c.Damaged[0].File, ".gguf") {
					t.Fatalf("the check says %+v", c)
				}
				return true
			}
		}
		return false
	})
	if got, err := os.ReadFile(n2.fileOf(n1.model("big").Digest)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("after the mending the file is another (%v)", err)
	}

	n1.admin("DELETE", "/admin/v1/models/big", nil, nil)
	var s struct{ Data []gateway.NodeStorage }
	await(t, 30*time.Second, "both nodes have the file for one that may go", func() bool { // n2 hears of it a little later
		n1.admin("GET", "/admin/v1/storage", nil, &s)
		return len(s.Data) == 2 && len(s.Data[0].Removable) == 1 && len(s.Data[1].Removable) == 1
	})
	for _, at := range s.Data {
		if at.Removable[0].Cause != "unknown" || at.Removable[0].InMS == 0 {
			t.Errorf("%s: may go: %+v", at.Node, at.Removable)
		}
	}
	for _, n := range []*testNode{n1, n2} {
		c := n.node.Running()
		c.Models.Grace = time.Millisecond
		n.node.live.running.Store(&c)
	}
	await(t, 30*time.Second, "the file is gone everywhere", func() bool {
		n1.admin("POST", "/admin/v1/storage/collect", nil, &s)
		_, err1 := os.Stat(n1.fileOf(n1.digest(content)))
		_, err2 := os.Stat(n2.fileOf(n1.digest(content)))
		return os.IsNotExist(err1) && os.IsNotExist(err2)
	})
}

// tryAdmin is admin where a refusal is expected.
func (n *testNode) tryAdmin(method, path string, in any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return client.New(n.adminKey(), "http://"+n.cfg.API.Listen).Do(ctx, method, path, in, nil)
}

func (n *testNode) digest(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func (n *testNode) fileOf(digest string) string {
	return filepath.Join(n.cfg.Node.Data, "models", digest+".gguf")
}

// TestPull: by a digest, from where the operator allows, going on where it was cut.
func TestPull(t *testing.T) {
	content, cut := padded(2, 6<<20), 2<<20
	var mu sync.Mutex
	var ranges []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		first := len(ranges) == 1
		mu.Unlock()
		switch {
		case strings.HasPrefix(r.URL.Path, "/away"):
			http.Redirect(w, r, "http://localhost:1/x", http.StatusFound)
			return
		case first: // the connection breaks in the middle
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content[:cut])
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "m.gguf", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	n := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	n.cfg.Models.PullURLs = []string{server.URL + "/ok", server.URL + "/away"}
	if _, err := Init(n.cfg, "test"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.ready()
	pull := func(path, digest string) error {
		return n.tryAdmin("POST", "/admin/v1/models/pulled/pull", map[string]any{"url": server.URL + path, "digest": digest})
	}
	sum := "sha256:" + n.digest(content)
	for want, err := range map[string]error{"models.pull-urls": pull("/elsewhere/m.gguf", sum), "64 hexadecimal": pull("/ok/m.gguf", "sha256:77")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := pull("/ok/m.gguf?token=secret", sum); err != nil {
		t.Fatal(err)
	}
	await(t, 30*time.Second, "the model is here", func() bool { return n.tryAdmin("GET", "/admin/v1/models/pulled", nil) == nil })
	if got, err := os.ReadFile(n.fileOf(n.digest(content))); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file is another (%v)", err)
	}
	mu.Lock()
	asked := slices.Clone(ranges)
	mu.Unlock()
	if len(asked) != 2 || asked[0] != "" || !strings.HasPrefix(asked[1], "bytes=") || asked[1] == "bytes=0-" {
		t.Errorf("asked for %q", asked)
	}
	failed := func(want string) {
		t.Helper()
		var s struct{ Data []gateway.NodeStorage }
		await(t, 30*time.Second, "the pull fails: "+want, func() bool {
			n.admin("GET", "/admin/v1/storage", nil, &s)
			return len(s.Data[0].Coming) == 1 && strings.Contains(s.Data[0].Coming[0].Error, want) && s.Data[0].Coming[0].Hint != ""
		})
	}
	other := "sha256:" + strings.Repeat("ab", 32)
	if err := pull("/ok/m.gguf", other); err != nil {
		t.Fatal(err)
	}
	failed("not sha256:" + other[7:])
	if u, _ := url.Parse(server.URL); u.Hostname() != "localhost" {
		if err := pull("/away/m.gguf", other); err != nil {
			t.Fatal(err)
		}
		failed("may not go")
	}
}

// TestAJoinerServesWhatItNeverHad: a directory that was imported before the node joined is
// served there, and nothing but the cluster's own ports was reached for it.
func TestAJoinerServesWhatItNeverHad(t *testing.T) {
	severalNodes(t)
	needsEngine(t)
	n1 := found(t, "n1", "north")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "tiny/tiny.gguf", Typeflag: tar.TypeReg, Size: int64(len(demo.Model)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(demo.Model); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n1.admin("PUT", "/admin/v1/models/tiny?form=folder", &b, nil)
	n1.admin("PUT", "/admin/v1/deployments/tiny", map[string]any{"engine": "embedded", "model": "tiny", "replicas": 1, "regions": []string{"south"}}, nil)
	n1.join("w1", "south", "worker")
	await(t, 60*time.Second, "the instance is ready", func() bool {
		var s gateway.Status
		n1.admin("GET", "/admin/v1/status", nil, &s)
		return len(s.Instances) == 1 && s.Instances[0].State == "ready" && s.Instances[0].Node == "w1"
	})
	if got, err := n1.chat(n1.adminKey(), "tiny", demo.Question); err != nil || got != demo.Answer {
		t.Errorf("it says %q (%v)", got, err)
	}
}
