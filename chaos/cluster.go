package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
	"github.com/lotabots/lotabots/node/dev"
)

const startLimit = 3 * time.Minute

// A node is one node of the cluster under test. Its process changes with every restart.
type node struct {
	dev.Node
	key string // the admin key
}

// A cluster is the one under test: a `lotabots dev` of the harness's own, or one
// that was there before.
type cluster struct {
	dir    string
	binary string
	fresh  bool // dir is ours to remove
	nodes  []node
	model  string     // the real model's deployment; empty: there is none
	links  *links.Set // nil: nothing stands between the nodes
	env    []string
	dev    *exec.Cmd // nil: attached
	ended  chan struct{}
	output *tailBuffer
}

// startCluster runs `lotabots dev` and waits until it serves. What it started is
// ended again when it fails.
func startCluster(ctx context.Context, c Config, mockURL string) (k *cluster, err error) {
	k = &cluster{dir: c.Data, binary: c.Binary, ended: make(chan struct{}), output: &tailBuffer{}}
	k.env = append(append(os.Environ(), "LOTABOTS_ENGINES_EXTERNAL_URLS="+mockURL), c.Env...)
	made := k // a failure returns none
	defer func() {
		if err != nil {
			err = errors.Join(err, made.stop())
			made.remove()
		}
	}()
	if k.dir == "" {
		if k.dir, err = os.MkdirTemp("", "lotabots-chaos-"); err != nil {
			return nil, err
		}
		k.fresh = true
	}
	if k.dir, err = filepath.Abs(k.dir); err != nil {
		return nil, err
	}
	arguments := []string{"dev", "--no-demo", "--data", k.dir, "--nodes", fmt.Sprint(c.Nodes), "--regions", strings.Join(c.Regions, ",")}
	if c.Engine == "none" {
		arguments = append(arguments, "--engine", "external", "--engine-url", mockURL)
	} else {
		arguments = append(arguments, "--engine", c.Engine)
	}
	if slices.Contains(c.Faults, Cut) {
		if k.links, err = openLinks(k.dir, c.Nodes); err != nil {
			return nil, err
		}
		for _, l := range k.links.Links() {
			arguments = append(arguments, "--link", dev.Link{Listen: l.Listen.String(), Advertise: l.Advertise.String()}.String())
		}
	}
	k.dev = exec.Command(c.Binary, arguments...)
	k.dev.Env, k.dev.Stdout, k.dev.Stderr = k.env, k.output, k.output
	k.dev.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the harness to pass on
	if err := k.dev.Start(); err != nil {
		k.dev = nil
		return nil, fmt.Errorf("starting the cluster: %w", err)
	}
	go func() {
		_ = k.dev.Wait()
		close(k.ended)
	}()
	if err := k.awaitFile(ctx); err != nil {
		return nil, err
	}
	if c.Engine == "none" {
		k.model = ""
	}
	return k, nil
}

// openLinks starts relays: those of a kept cluster where it was, else new ones.
func openLinks(dir string, nodes int) (*links.Set, error) {
	kept, err := dev.Load(dir)
	if err != nil || len(kept.Nodes) == 0 {
		return links.Open(nodes)
	}
	list := make([]links.Link, len(kept.Nodes))
	for i, n := range kept.Nodes {
		listen, err := netip.ParseAddrPort(n.Listen)
		if err != nil {
			return nil, fmt.Errorf("the cluster in %s was made without relays between its nodes, so its links cannot be cut: choose a fresh directory", dir)
		}
		advertise, err := netip.ParseAddrPort(n.Cluster)
		if err != nil {
			return nil, fmt.Errorf("the cluster in %s: node %s: %w", dir, n.ID, err)
		}
		list[i] = links.Link{Listen: listen, Advertise: advertise}
	}
	return links.OpenAt(list)
}

// awaitFile waits for cluster.json, which is there once the cluster serves.
func (k *cluster) awaitFile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if f, err := dev.Load(k.dir); err == nil && f.Dev == k.dev.Process.Pid {
			k.use(f)
			return nil
		}
		select {
		case <-k.ended:
			return fmt.Errorf("the cluster does not start:\n%s", k.output)
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not serve: %w\n%s", ctx.Err(), k.output)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (k *cluster) use(f *dev.File) {
	k.model = f.Deployment
	k.nodes = k.nodes[:0]
	for _, n := range f.Nodes {
		k.nodes = append(k.nodes, node{n, f.AdminKey})
	}
}

// pid of the node at present.
func (k *cluster) pid(i int) (int, error) {
	f, err := dev.Load(k.dir)
	if err != nil {
		return 0, err
	}
	n, err := f.Node(k.nodes[i].ID)
	if err != nil {
		return 0, err
	}
	if !isNode(n.PID, n.Data) {
		return 0, fmt.Errorf("process %d is not node %s", n.PID, n.ID)
	}
	return n.PID, nil
}

// signal sends the signal to the node's process.
func (k *cluster) signal(i int, s syscall.Signal) error {
	pid, err := k.pid(i)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, s)
}

// restart starts a killed node again and waits until it is ready.
func (k *cluster) restart(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.binary, "dev", "restart", k.nodes[i].ID, "--data", k.dir)
	cmd.Env = k.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("restarting node %s: %w\n%s", k.nodes[i].ID, err, bytes.TrimSpace(out))
	}
	return nil
}

// ready waits until the node's /readyz answers 200.
func (k *cluster) ready(ctx context.Context, i int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	web := newHTTP()
	web.Timeout = time.Second
	for {
		answer, err := web.Get(k.nodes[i].API + "/readyz")
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready within %v", k.nodes[i].ID, limit)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends a cluster of the harness's own and waits; a process left behind is
// an error. A second call does nothing.
func (k *cluster) stop() error {
	if k.links != nil {
		k.links.Heal()
		defer k.links.Close()
	}
	if k.dev == nil {
		return nil
	}
	defer func() { k.dev = nil }()
	_ = k.dev.Process.Signal(syscall.SIGINT)
	var late error
	select {
	case <-k.ended:
		if !k.dev.ProcessState.Success() {
			late = fmt.Errorf("lotabots dev ended with %v: %s", k.dev.ProcessState, k.output)
		}
	case <-time.After(60 * time.Second):
		late = errors.New("lotabots dev did not end within 60 s of SIGINT")
		_ = k.dev.Process.Kill()
		<-k.ended
	}
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) && len(processesOf(k.dir)) > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	if left := processesOf(k.dir); len(left) > 0 {
		late = errors.Join(late, fmt.Errorf("processes left behind: %v", left))
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // ours: its command line names our directory
		}
	}
	return late
}

// remove deletes the directory if it is the harness's own.
func (k *cluster) remove() {
	if k.fresh {
		_ = os.RemoveAll(k.dir)
	}
}
