//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cutOff shows what is there of a model after whoever brings it has ended in the middle: nothing
// that anybody sees, no space that is lost, and the next attempt goes as if there had been none;
// of a pull, as if there had been no interruption.
func (c *cluster) cutOff() {
	for name, cut := range map[string]func(*cluster){
		"node killed": (*cluster).importerKilled, "client gone": (*cluster).clientGone, "pull": (*cluster).pullKilled,
	} {
		c.t.Run(name, func(t *testing.T) { inner := *c; inner.t = t; cut(&inner) })
	}
}

const cutBytes = 16 << 20

// halfAnImport sends a node the first half of a file, and returns the connection when some of it
// is on the node's disk.
func (c *cluster) halfAnImport(node int, name, path, framing string) net.Conn {
	c.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	n := c.file.Nodes[node]
	address := strings.TrimPrefix(n.API, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	head := fmt.Sprintf("PUT /admin/v1/models/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", name, address, c.file.AdminKey, framing)
	if strings.Contains(framing, "chunked") {
		head += fmt.Sprintf("%x\r\n", len(content))
	}
	if _, err := conn.Write(append([]byte(head), content[:len(content)/2]...)); err != nil {
		c.t.Fatal(err)
	}
	c.await(time.Minute, "some of the import is on the disk", func() bool { return c.incoming(node) >= cutBytes/8 })
	return conn
}

// incoming is how many bytes of imports under way a node has on its disk.
func (c *cluster) incoming(node int) (sum int64) {
	c.t.Helper()
	dir := filepath.Join(c.file.Nodes[node].Data, "models", "incoming")
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += max(1, info.Size())
		}
	}
	return sum
}

// unknown fails the test where the cluster knows a model, or a node has its file.
func (c *cluster) unknown(name, digest string) {
	c.t.Helper()
	answer, raw, err := call(context.Background(), "GET", c.file.Nodes[0].API+"/admin/v1/models/"+name, c.file.AdminKey, nil)
	if err != nil || answer.StatusCode != http.StatusNotFound {
		c.t.Errorf("model %s, which came half: %v %s", name, err, raw)
	}
	for node := range c.file.Nodes {
		if _, err := os.Stat(c.fileOf(node, digest)); !os.IsNotExist(err) {
			c.t.Errorf("%s has the file of what came half (%v)", c.file.Nodes[node].ID, err)
		}
	}
}

// importAt imports a file by way of one node, and waits until it is on all.
func (c *cluster) importAt(node int, name, path, digest string) {
	c.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	r, err := http.NewRequest(http.MethodPut, c.file.Nodes[node].API+"/admin/v1/models/"+name, f)
	if err != nil {
		c.t.Fatal(err)
	}
	r.ContentLength = cutBytes
	r.Header.Set("Authorization", "Bearer "+c.file.AdminKey)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	if raw, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode/100 != 2 {
		c.t.Fatalf("the import after the one that was cut off: %d %s %v", answer.StatusCode, raw, err)
	}
	c.await(2*time.Minute, "the model is on all nodes", func() bool { return c.model(name).whole() == len(c.file.Nodes) })
	c.sameFile(node, digest)
}

func (c *cluster) importerKilled() {
	const victim = 1
	path, digest := madeUp(c.t, 4, cutBytes)
	conn := c.halfAnImport(victim, "half", path, fmt.Sprintf("Content-Length: %d", cutBytes))
	defer conn.Close()
	c.kill(c.file.Nodes[victim].PID)
	if raw, err := io.ReadAll(conn); len(raw) > 0 {
		c.t.Errorf("the cut-off import was answered: %s %v", raw, err)
	}
	c.unknown("half", digest)
	c.restart(c.file.Nodes[victim].ID)
	c.unknown("half", digest)
	if left := c.incoming(victim); left != 0 {
		c.t.Errorf("%d bytes are left of the import", left)
	}
	c.importAt(victim, "half", path, digest)
}

func (c *cluster) clientGone() {
	const at = 1
	path, digest := madeUp(c.t, 5, cutBytes)
	for _, framing := range []string{fmt.Sprintf("Content-Length: %d", cutBytes), "Transfer-Encoding: chunked"} {
		for _, linger := range []int{-1, 0} { // an end, a reset
			conn := c.halfAnImport(at, "gone", path, framing)
			if err := conn.(*net.TCPConn).SetLinger(linger); err != nil {
				c.t.Fatal(err)
			}
			conn.Close()
			c.await(time.Minute, "nothing is left of the import of a client that is gone", func() bool { return c.incoming(at) == 0 })
			c.unknown("gone", digest)
		}
	}
	c.importAt(at, "gone", path, digest)
}

// A half is a server of a file that gives half of it at first, and then what is asked for.
type half struct {
	path string
	mu   struct {
		sync.Mutex
		ranges []string
	}
}

func (h *half) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.mu.ranges = append(h.mu.ranges, r.Header.Get("Range"))
	first := len(h.mu.ranges) == 1
	h.mu.Unlock()
	if !first {
		http.ServeFile(w, r, h.path)
		return
	}
	f, err := os.Open(h.path)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer f.Close()
	w.Header().Set("Content-Length", fmt.Sprint(cutBytes))
	if _, err := io.CopyN(w, f, cutBytes/2); err == nil {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func (c *cluster) pullKilled() {
	const victim = 2
	path, digest := madeUp(c.t, 6, cutBytes)
	source := &half{path: path}
	server := httptest.NewServer(source)
	defer server.Close()
	n := c.file.Nodes[victim]
	c.mayPull(victim, server.URL)
	ask := map[string]string{"url": server.URL + "/m.gguf", "digest": "sha256:" + digest}
	if answer, raw, err := call(context.Background(), "POST", n.API+"/admin/v1/models/pulled/pull", c.file.AdminKey, ask); err != nil || answer.StatusCode/100 != 2 {
		c.t.Fatalf("pull: %v %s", err, raw)
	}
	part := filepath.Join(n.Data, "models", "partial", digest+".pull")
	c.await(time.Minute, "half has come", func() bool {
		info, err := os.Stat(part)
		return err == nil && info.Size() >= cutBytes/2
	})
	c.unknown("pulled", digest)
	c.kill(c.file.Nodes[victim].PID)
	c.restart(n.ID)
	c.await(2*time.Minute, "the pull has gone on, and the model is on all nodes", func() bool {
		answer, _, err := call(context.Background(), "GET", c.file.Nodes[0].API+"/admin/v1/models/pulled", c.file.AdminKey, nil)
		return err == nil && answer.StatusCode == 200 && c.model("pulled").whole() == len(c.file.Nodes)
	})
	c.sameFile(victim, digest)
	source.mu.Lock()
	asked := slices.Clone(source.mu.ranges)
	source.mu.Unlock()
	if want := []string{"", fmt.Sprintf("bytes=%d-", cutBytes/2)}; !slices.Equal(asked, want) {
		c.t.Errorf("the source was asked for %q, want %q", asked, want)
	}
	c.await(time.Minute, "nothing is left of the pull", func() bool {
		_, noted := os.Stat(filepath.Join(n.Data, "models", "pulls.json"))
		_, came := os.Stat(part)
		return os.IsNotExist(noted) && os.IsNotExist(came)
	})
}

// mayPull has a node pull from a URL, by its file.
func (c *cluster) mayPull(node int, url string) {
	c.t.Helper()
	n := c.file.Nodes[node]
	name := filepath.Join(n.Data, "node.yaml")
	raw, err := os.ReadFile(name)
	old := []byte("\n  pull-urls: []  #")
	if err == nil && bytes.Count(raw, old) != 1 {
		err = fmt.Errorf("%s does not say pull-urls: []", name)
	}
	if err == nil {
		err = os.WriteFile(name, bytes.Replace(raw, old, fmt.Appendf(nil, "\n  pull-urls: [%q]  #", url), 1), 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	answer, body, err := call(context.Background(), "POST", c.file.Nodes[0].API+"/admin/v1/nodes/"+n.ID+"/reload", c.file.AdminKey, nil)
	if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), "models.pull-urls") {
		c.t.Fatalf("reload: %v %s", err, body)
	}
}
