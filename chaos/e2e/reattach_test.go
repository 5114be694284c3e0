//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/dev"
)

// TestEnginesOutliveTheirNode: a node that is killed, and one that is restarted well, find their engine
// again: the same process, and no second load, while the others' requests go on. With no linger it ends.
func TestEnginesOutliveTheirNode(t *testing.T) {
	c := startCluster(t, []string{"LOTABOTS_PLACEMENT_DEAD_GRACE=2m"})
	c.await(time.Minute, "an instance is ready in each region", c.spread)
	victim := pick(c, "holder", nil)
	id := c.file.Nodes[victim].ID
	c.lingers(victim, "0s", "2m")
	c.restart(id) // with the engine that it had, which ends
	instance := c.servesOn(victim)
	engine := c.engine(victim)
	loads := c.loads(victim)

	var living []int
	for i := range c.file.Nodes {
		if i != victim {
			living = append(living, i)
		}
	}
	l := c.startLoad(2, func() []int { return living })
	time.Sleep(time.Second)
	killed := time.Now()
	if err := syscall.Kill(c.file.Nodes[victim].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	c.restart(id)
	if again := c.servesOn(victim); again != instance || c.engine(victim) != engine {
		t.Errorf("after a kill %s serves by process %d, and %s did by %d", again, c.engine(victim), instance, engine)
	}
	for _, o := range l.finish() {
		if o.err != nil && (o.served != id || o.began.After(killed)) { // else it was under way on the node
			t.Errorf("asked %s, served by %q, begun %v after the kill: %v", o.gateway, o.served, o.began.Sub(killed), o.err)
		}
	}

	c.lingers(victim, "2m", "0s")
	c.restart(id) // SIGTERM: the process that ends lingers still
	if again := c.servesOn(victim); again != instance || c.engine(victim) != engine {
		t.Errorf("after a restart %s serves by process %d, and %s did by %d", again, c.engine(victim), instance, engine)
	}
	if n := c.loads(victim); n != loads {
		t.Errorf("%d loads more", n-loads)
	}

	if err := syscall.Kill(c.file.Nodes[victim].PID, syscall.SIGKILL); err != nil { // which does not
		t.Fatal(err)
	}
	c.await(30*time.Second, "the engine ends with its node", func() bool { return syscall.Kill(engine, 0) != nil })
	c.restart(id)
	c.servesOn(victim)
}

func (c *cluster) restart(id string) {
	c.t.Helper()
	c.run("dev", "restart", id)
	f, err := dev.Load(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	*c.file = *f
}

// lingers rewrites the node's own file.
func (c *cluster) lingers(node int, from, to string) {
	c.t.Helper()
	name := filepath.Join(c.file.Nodes[node].Data, "node.yaml")
	raw, err := os.ReadFile(name)
	if err != nil {
		c.t.Fatal(err)
	}
	old := []byte("\n  linger: " + from + "  #")
	if bytes.Count(raw, old) != 1 {
		c.t.Fatalf("%s does not say linger: %s\n%s", name, from, raw)
	}
	if err := os.WriteFile(name, bytes.Replace(raw, old, []byte("\n  linger: "+to+"  #"), 1), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// servesOn waits until an instance is ready on the node, and names it.
func (c *cluster) servesOn(node int) (id string) {
	c.t.Helper()
	c.await(time.Minute, "the node's instance is ready", func() bool {
		for _, i := range c.status().Instances {
			if i.Node == c.file.Nodes[node].ID && i.State == "ready" {
				id = i.ID
				return true
			}
		}
		return false
	})
	return id
}

// engine is the node's one engine's process.
func (c *cluster) engine(node int) (pid int) {
	c.t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, cwd := range dirs {
		to, err := os.Readlink(cwd)
		if err != nil || !strings.HasPrefix(to, filepath.Join(c.file.Nodes[node].Data, "engines")+"/") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(cwd), "cmdline"))
		if strings.Contains(string(line), "lotabots-engine\x00serve\x00") {
			pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(cwd)))
		}
	}
	if pid == 0 {
		c.t.Fatal("the node has no engine's process")
	}
	return pid
}

// loads counts the engines that the node has started.
func (c *cluster) loads(node int) int {
	raw, _ := os.ReadFile(filepath.Join(c.file.Nodes[node].Data, "node.log"))
	return bytes.Count(raw, []byte("engine process started"))
}
