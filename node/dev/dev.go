package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lotabots/lotabots/node/client"
)

// Options are what a dev cluster should be.
type Options struct {
	Nodes     int
	Regions   []string // given to the nodes in turn
	Data      string   // kept; empty: a fresh directory, removed at the end
	Demo      bool     // print the demonstration
	Engine    string   // preset of the deployment
	EngineURL string   // for external
	Links     []Link   // one per node, for a harness that stands between them; empty: loopback ports that are free
	Binary    string   // the lotabots executable
	Out       io.Writer
}

// A Cluster is a running dev cluster.
type Cluster struct {
	options Options
	dir     string
	fresh   bool // dir is ours to remove
	file    *File
	wait    sync.WaitGroup // reaps the node processes
}

// Run starts a dev cluster, says how to use it and keeps it up until ctx ends.
// It never restarts a node; see Restart. A node that does not end when it is
// told to is killed, and named in the error.
func Run(ctx context.Context, o Options) error {
	c := &Cluster{options: o}
	if err := c.openDir(); err != nil {
		return err
	}
	defer c.closeDir()
	err := errors.Join(c.serve(ctx), c.stop())
	_ = os.Rename(path(c.dir), c.draft()) // it names processes that are no more; the next start goes on from the draft
	return err
}

func (c *Cluster) serve(ctx context.Context) error {
	if err := c.startNodes(ctx); err != nil {
		return notIfStopped(ctx, err)
	}
	if err := c.deploy(ctx); err != nil {
		return notIfStopped(ctx, err)
	}
	if err := c.file.Save(c.dir); err != nil {
		return err
	}
	if c.options.Demo {
		if err := demonstrate(ctx, c.options.Out, c.file); err != nil {
			return notIfStopped(ctx, err)
		}
	}
	c.greet()
	<-ctx.Done()
	fmt.Fprintln(c.options.Out, "\nstopping the nodes ...")
	return nil
}

// notIfStopped hides the errors that a Ctrl-C in the middle of the start causes.
func notIfStopped(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

func (c *Cluster) openDir() error {
	dir := c.options.Data
	if dir == "" {
		made, err := os.MkdirTemp("", "lotabots-dev-")
		if err != nil {
			return err
		}
		dir, c.fresh = made, true
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.dir = abs
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return err
	}
	c.file = &File{}
	if kept, err := Load(abs); err == nil {
		for _, n := range kept.Nodes {
			if runs(n.PID, n.Data) {
				return fmt.Errorf("the dev cluster in %s runs already (node %s is process %d): stop it, or choose another --data", dir, n.ID, n.PID)
			}
		}
		c.file = kept
		// Whoever waits for cluster.json is to find one of this run's processes.
		if err := os.Rename(path(abs), c.draft()); err != nil {
			return err
		}
	}
	c.file.Dev = os.Getpid()
	return nil
}

func (c *Cluster) closeDir() {
	if c.fresh {
		_ = os.RemoveAll(c.dir)
	}
}

const stopLimit = 10 * time.Second

// stop ends every node, those that `dev restart` started too.
func (c *Cluster) stop() error {
	nodes := c.file.Nodes
	if saved, err := Load(c.dir); err == nil {
		nodes = append(nodes, saved.Nodes...)
	}
	forced := stop(nodes, stopLimit)
	c.wait.Wait()
	if len(forced) > 0 {
		return fmt.Errorf("told to end, these nodes were still there after %v and were killed: %s", stopLimit, strings.Join(forced, ", "))
	}
	return nil
}

func (c *Cluster) launch(n *Node) error {
	cmd, err := start(c.options.Binary, n.Data, os.Getpid())
	if err != nil {
		return err
	}
	n.PID = cmd.Process.Pid
	c.wait.Go(func() { reap(cmd) })
	return nil
}

// reap waits for the process; how it ended is in its log.
func reap(cmd *exec.Cmd) { _ = cmd.Wait() }

func (c *Cluster) client() *client.Client {
	endpoints := make([]string, len(c.file.Nodes))
	for i, n := range c.file.Nodes {
		endpoints[i] = n.API
	}
	return client.New(c.file.AdminKey, endpoints...)
}

// Restart ends the node's process if it still runs, starts it again and waits
// until it is ready. Its new pid is in cluster.json before that.
func Restart(ctx context.Context, binary, dir, id string) (Node, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Node{}, err
	}
	f, err := Load(dir)
	if err != nil {
		return Node{}, err
	}
	n, err := f.Node(id)
	if err != nil {
		return Node{}, err
	}
	stop([]Node{*n}, 40*time.Second)
	cmd, err := start(binary, n.Data, f.Dev)
	if err != nil {
		return Node{}, err
	}
	n.PID = cmd.Process.Pid
	go reap(cmd) // until this command ends; then init reaps
	err = update(dir, func(f *File) error {
		saved, err := f.Node(id)
		if err == nil {
			saved.PID = n.PID
		}
		return err
	})
	if err != nil {
		return *n, err
	}
	return *n, awaitReady(ctx, *n)
}
