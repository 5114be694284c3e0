//go:build e2e

package e2e

import (
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/demo"
)

// A sidecar is a gateway in a process of its own.
type sidecar struct {
	c    *cluster
	api  string // URL
	args []string
	cmd  *exec.Cmd
}

// startSidecar joins one under a gateway's token and waits until it is ready.
func (c *cluster) startSidecar(id string) *sidecar {
	c.t.Helper()
	token := strings.TrimSpace(c.run("tokens", "create", "--role", "gateway"))
	api := freeAddr(c.t)
	s := &sidecar{c: c, api: "http://" + api, args: []string{"gateway", "--data", filepath.Join(c.dir, id), "--id", id,
		"--region", c.file.Nodes[0].Region, "--cluster-listen", freeAddr(c.t), "--api-listen", api}}
	s.start("--join", c.file.Nodes[0].Cluster, "--token", token)
	c.t.Cleanup(s.kill)
	return s
}

func (s *sidecar) start(more ...string) {
	s.c.t.Helper()
	s.cmd = exec.Command(binary(s.c.t), append(s.args, more...)...)
	if err := s.cmd.Start(); err != nil {
		s.c.t.Fatal(err)
	}
	s.c.await(30*time.Second, "the sidecar is ready", func() bool {
		answer, err := http.Get(s.api + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// kill ends it as a crash does; nothing happens to one that has ended.
func (s *sidecar) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// instances are the ready instances by id, with their nodes.
func (c *cluster) instances() map[string]string {
	c.t.Helper()
	found := map[string]string{}
	for _, i := range c.status().Instances {
		if i.State == "ready" {
			found[i.ID] = i.Node
		}
	}
	return found
}

// TestSidecar: a gateway of its own joins under a gateway's token, follows the state and serves. Killed, ended and
// started again in the middle of others' requests it disturbs neither them nor an engine.
func TestSidecar(t *testing.T) {
	c := startCluster(t, nil)
	c.await(time.Minute, "an instance is ready in each region", c.spread)
	before := c.instances()
	engines := map[int]int{} // process by node
	for i, n := range c.file.Nodes {
		for _, node := range before {
			if node == n.ID {
				engines[i] = c.engine(i)
			}
		}
	}
	s := c.startSidecar("sidecar")
	asked := func(when string) {
		t.Helper()
		if got := ask(t, s.api, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
			t.Errorf("%s: %q", when, got)
		}
	}
	asked("through the sidecar")
	fresh := c.key("made-elsewhere") // the feed brings it
	c.await(30*time.Second, "the sidecar knows a new key", func() bool {
		answer, _, err := call(t.Context(), "GET", s.api+"/v1/models", fresh.Key, nil)
		return err == nil && answer.StatusCode == http.StatusOK
	})

	l := c.startLoad(2, func() []int { return []int{0, 1, 2} })
	for round := range 3 {
		own := make(chan outcome, 1) // a stream through the sidecar is under way when it ends
		go func() { own <- stream(t.Context(), s.api, c.file.AdminKey, chat(c.file.Deployment, 1, 200, true)) }()
		time.Sleep(300 * time.Millisecond)
		if round < 2 {
			s.kill()
		} else if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		} else if err := s.cmd.Wait(); err != nil {
			t.Errorf("the sidecar ends with %v", err)
		}
		if o := <-own; round == 2 && o.err != nil {
			t.Errorf("a stream while the sidecar was told to end: %v", o.err)
		}
		s.start()
		asked("started again")
	}
	outcomes := l.finish()
	for _, o := range outcomes {
		if o.err != nil {
			t.Errorf("through %s, served by %s: %v", o.gateway, o.served, o.err)
		}
	}
	t.Logf("%d requests of others", len(outcomes))
	if len(outcomes) < 10 {
		t.Errorf("only %d requests of others", len(outcomes))
	}
	if after := c.instances(); !maps.Equal(before, after) {
		t.Errorf("instances changed from %v to %v", before, after)
	}
	for i, pid := range engines {
		if now := c.engine(i); now != pid {
			t.Errorf("the engine of node %d was process %d and is %d", i, pid, now)
		}
	}
}
