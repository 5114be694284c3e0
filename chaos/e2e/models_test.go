//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// modelBytes is the size of the model that travels: LOTABOTS_MODELS=full makes it 2 GB.
func modelBytes() int64 {
	if os.Getenv("LOTABOTS_MODELS") == "full" {
		return 2 << 30
	}
	return 256 << 20
}

// madeUp writes a file that passes for a GGUF, and whose content nothing compresses.
func madeUp(t *testing.T, seed byte, size int64) (path, digest string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), fmt.Sprintf("made-up-%d.gguf", seed))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, head := sha256.New(), "GGUF\x03\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"
	to := io.MultiWriter(f, sum)
	_, err = io.WriteString(to, head)
	if err == nil {
		_, err = io.CopyN(to, rand.NewChaCha8([32]byte{seed}), size-int64(len(head)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, fmt.Sprintf("%x", sum.Sum(nil))
}

// plainCopy is how long it takes to send the file over TCP on the loopback to so many
// receivers at once, each of which writes it to a file and has that reach the disk.
func plainCopy(t *testing.T, path string, receivers int) time.Duration {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir, began := t.TempDir(), time.Now()
	var all errgroup.Group
	for i := range receivers {
		all.Go(func() error {
			in, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				return err
			}
			defer in.Close()
			f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := io.Copy(struct{ io.Writer }{f}, struct{ io.Reader }{in}); err != nil {
				return err
			}
			return f.Sync()
		})
		all.Go(func() error {
			out, err := l.Accept()
			if err != nil {
				return err
			}
			defer out.Close()
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{f}, make([]byte, 1<<20))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	for i := range receivers {
		_ = os.Remove(filepath.Join(dir, strconv.Itoa(i)))
	}
	return took
}

type modelShown struct {
	Copies []struct{ Node, Kind string }
	Coming []struct {
		Node         string
		Bytes, Total int64
	}
}

func (c *cluster) model(name string) (m modelShown) {
	c.t.Helper()
	_, raw, err := call(context.Background(), "GET", c.file.Nodes[0].API+"/admin/v1/models/"+name, c.file.AdminKey, nil)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		c.t.Fatalf("model %s: %v %s", name, err, raw)
	}
	return m
}

// whole counts the nodes that have all of it.
func (m modelShown) whole() (n int) {
	for _, at := range m.Copies {
		if at.Kind == "whole" {
			n++
		}
	}
	return n
}

func (c *cluster) put(path string, body any) {
	c.t.Helper()
	answer, raw, err := call(context.Background(), http.MethodPut, c.file.Nodes[0].API+path, c.file.AdminKey, body)
	if err != nil || answer.StatusCode != 200 {
		c.t.Fatalf("PUT %s: %v %s", path, err, raw)
	}
}

// fileOf is where a node has a model.
func (c *cluster) fileOf(node int, digest string) string {
	return filepath.Join(c.file.Nodes[node].Data, "models", digest+".gguf")
}

func (c *cluster) sameFile(node int, digest string) {
	c.t.Helper()
	f, err := os.Open(c.fileOf(node, digest))
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil || fmt.Sprintf("%x", sum.Sum(nil)) != digest {
		c.t.Errorf("what %s has is another file (%v)", c.file.Nodes[node].ID, err)
	}
}

// TestModelsTravel: what is imported on one of three nodes is soon on all; a node that is
// killed on the way asks for what it lacks; what is cut off in the middle leaves nothing; a
// flipped byte is found, told and mended.
func TestModelsTravel(t *testing.T) {
	c := startCluster(t, nil, "--nodes", "3", "--regions", "north")
	c.put("/admin/v1/settings/models/copies", map[string]string{"value": "3"})
	t.Run("fast", func(t *testing.T) { inner := *c; inner.t = t; inner.travelsFast() })
	t.Run("killed on the way", func(t *testing.T) { inner := *c; inner.t = t; inner.travelsOn() })
	t.Run("cut off", func(t *testing.T) { inner := *c; inner.t = t; inner.cutOff() })
	t.Run("flipped byte", func(t *testing.T) { inner := *c; inner.t = t; inner.isMended() })
}

func (c *cluster) travelsFast() {
	path, digest := madeUp(c.t, 1, modelBytes())
	before := plainCopy(c.t, path, 2)
	began := time.Now()
	c.run("models", "import", path, "--name", "fast")
	imported := time.Now()
	used := c.processors()
	c.await(5*time.Minute, "the model is on all nodes", func() bool {
		time.Sleep(50 * time.Millisecond) // looking costs the nodes something
		return c.model("fast").whole() == 3
	})
	used = c.processors() - used
	took := time.Since(imported)
	plain := (before + plainCopy(c.t, path, 2)) / 2
	for node := range c.file.Nodes {
		c.sameFile(node, digest)
	}
	rate := func(d time.Duration) float64 { return float64(modelBytes()) / 1e6 / d.Seconds() }
	fmt.Printf("figure: models-import %.0f MB/s goal > 0\n", rate(imported.Sub(began)))
	fmt.Printf("figure: models-plain-copy-to-two %.0f MB/s goal > 0\n", rate(plain))
	fmt.Printf("figure: models-copy-to-two %.0f MB/s goal >= %.0f\n", rate(took), 0.8*rate(plain))
	fmt.Printf("figure: models-copy-processor-seconds %.2f s/GB goal <= 6\n", used.Seconds()/(2*float64(modelBytes())/1e9))
	fmt.Printf("figure: models-copy-ratio %.2f x goal >= 0.8\n", plain.Seconds()/took.Seconds())
}

// processors is the processor time that the nodes have used: it hardly depends on what
// else the machine does.
func (c *cluster) processors() (sum time.Duration) {
	for _, n := range c.file.Nodes {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID))
		if err != nil {
			c.t.Fatal(err)
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		for _, at := range []int{11, 12} { // in user and system mode
			ticks, err := strconv.Atoi(fields[at])
			if err != nil {
				c.t.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

// setRate has a node fetch at most so many bytes a second, by its file.
func (c *cluster) setRate(node int, from, to int) {
	c.t.Helper()
	c.setFile(node, from, to)
	answer, body, err := call(context.Background(), "POST", c.file.Nodes[0].API+"/admin/v1/nodes/"+c.file.Nodes[node].ID+"/reload", c.file.AdminKey, nil)
	if err != nil || answer.StatusCode != 200 || to > 0 && !strings.Contains(string(body), "models.fetch-rate") {
		c.t.Fatalf("reload: %v %s", err, body)
	}
}

func (c *cluster) travelsOn() {
	const victim, size, rate = 2, 96 << 20, 24 << 20
	c.setRate(victim, 0, rate)
	path, digest := madeUp(c.t, 2, size)
	began := time.Now()
	c.run("models", "import", path, "--name", "cut")
	id := c.file.Nodes[victim].ID
	come := int64(0)
	c.await(time.Minute, "a third has come", func() bool {
		for _, t := range c.model("cut").Coming {
			if t.Node == id {
				come = t.Bytes
			}
		}
		return come > size/3
	})
	if atMost := int64(float64(rate)*time.Since(began).Seconds()) + 8*4<<20; come > atMost {
		c.t.Errorf("%d bytes have come in %v at %d a second", come, time.Since(began), rate)
	}
	c.kill(c.file.Nodes[victim].PID)
	c.setFile(victim, rate, 0)
	c.restart(id)
	c.await(2*time.Minute, "the model is on all nodes", func() bool { return c.model("cut").whole() == 3 })
	c.sameFile(victim, digest)
	if again := c.metric(victim, `lotabots_model_transfer_bytes_total{direction="in",peer="node"}`); again > float64(size-come)+4*4<<20 {
		c.t.Errorf("%d of %d bytes had come, and %.0f were asked for again", come, size, again)
	}
}

// setFile changes a node's rate in its file alone.
func (c *cluster) setFile(node, from, to int) {
	c.t.Helper()
	name := filepath.Join(c.file.Nodes[node].Data, "node.yaml")
	raw, err := os.ReadFile(name)
	if err == nil && bytes.Count(raw, fmt.Appendf(nil, "\n  fetch-rate: %d  #", from)) != 1 {
		err = fmt.Errorf("%s does not say fetch-rate: %d", name, from)
	}
	if err == nil {
		err = os.WriteFile(name, bytes.Replace(raw, fmt.Appendf(nil, "\n  fetch-rate: %d  #", from), fmt.Appendf(nil, "\n  fetch-rate: %d  #", to), 1), 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) isMended() {
	path, digest := madeUp(c.t, 3, 24<<20)
	c.run("models", "import", path, "--name", "flipped")
	c.await(time.Minute, "the model is on all nodes", func() bool { return c.model("flipped").whole() == 3 })
	f, err := os.OpenFile(c.fileOf(1, digest), os.O_RDWR, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err = f.ReadAt(b, 13<<20); err == nil {
		_, err = f.WriteAt([]byte{b[0] ^ 1}, 13<<20)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	f.Close()
	out := c.run("models", "verify", "flipped")
	if want := fmt.Sprintf("%s: chunk 3 in %s.gguf was damaged; mended from another copy", c.file.Nodes[1].ID, digest); !strings.Contains(out, want) || strings.Count(out, ": sound") != 2 {
		c.t.Errorf("verify says:\n%s", out)
	}
	c.sameFile(1, digest)
	if n := c.metric(1, `lotabots_model_damaged_chunks_total{where="disk"}`); n != 1 {
		c.t.Errorf("%v damaged chunks are counted", n)
	}
	c.run("models", "rm", "flipped")
	c.await(30*time.Second, "all nodes know that the model may go", func() bool { // each has heard of it in its time
		out := c.run("models", "gc", "--dry-run")
		return strings.Count(out, digest) == 3 && strings.Count(out, "unknown") >= 3
	})
}
