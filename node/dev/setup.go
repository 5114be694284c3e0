package dev

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lotabots/lotabots/node/client"
)

const startLimit = 90 * time.Second

// startNodes makes what is missing of each node's directory, then starts every
// process. It may be repeated after a crash at any point.
func (c *Cluster) startNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := c.describeNodes(); err != nil {
		return err
	}
	first := &c.file.Nodes[0]
	if !joined(*first) {
		if err := c.command(ctx, append([]string{"init"}, nodeFlags(*first)...)...); err != nil {
			return err
		}
	}
	known, err := client.FromData(first.Data)
	if err != nil {
		return err
	}
	c.file.AdminKey = known.Key
	// Those that are members already start together: a kept cluster needs its
	// quorum before anything can be written.
	group, waiting := errgroup.WithContext(ctx)
	var fresh []*Node
	for i := range c.file.Nodes {
		n := &c.file.Nodes[i]
		if !joined(*n) {
			fresh = append(fresh, n)
			continue
		}
		if err := c.launch(n); err != nil {
			return err
		}
		group.Go(func() error { return awaitReady(waiting, *n) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.joinNodes(ctx, fresh)
}

// joinNodes joins and starts the nodes that are no members yet.
func (c *Cluster) joinNodes(ctx context.Context, fresh []*Node) error {
	if len(fresh) == 0 {
		return nil
	}
	var token struct {
		Token string `json:"token"`
	}
	ask := map[string]any{"role": "voter", "uses": len(fresh), "ttl_seconds": 600}
	if err := client.New(c.file.AdminKey, c.file.Nodes[0].API).Do(ctx, "POST", "/admin/v1/tokens", ask, &token); err != nil {
		return fmt.Errorf("creating a join token: %w", err)
	}
	group, waiting := errgroup.WithContext(ctx)
	for _, n := range fresh {
		arguments := append([]string{"join", c.file.Nodes[0].Cluster, "--token", token.Token}, nodeFlags(*n)...)
		if err := c.command(ctx, arguments...); err != nil {
			return err
		}
		if err := c.launch(n); err != nil {
			return err
		}
		group.Go(func() error { return awaitReady(waiting, *n) })
	}
	return group.Wait()
}

// describeNodes decides on ids, regions, ports and directories, once. It keeps
// that before anything is made of it, so that a start that broke off goes on
// with the same.
func (c *Cluster) describeNodes() error {
	if len(c.file.Nodes) > 0 {
		return nil // a kept cluster
	}
	if kept, err := loadFile(c.draft()); err == nil {
		c.file.Nodes = kept.Nodes
		return nil
	}
	if n := len(c.options.Links); n > 0 && n != c.options.Nodes {
		return fmt.Errorf("%d links for %d nodes: want one for each, or none", n, c.options.Nodes)
	}
	taken := map[int]bool{}
	for i := range c.options.Nodes {
		api, err := freePort("127.0.0.1", taken)
		if err != nil {
			return err
		}
		link, err := c.link(i, taken)
		if err != nil {
			return err
		}
		id := "n" + strconv.Itoa(i+1)
		c.file.Nodes = append(c.file.Nodes, Node{
			ID:      id,
			Region:  c.options.Regions[i*len(c.options.Regions)/c.options.Nodes],
			Zone:    string(rune('a' + i%26)),
			API:     "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(api)),
			Cluster: link.Advertise,
			Listen:  link.Listen,
			Data:    filepath.Join(c.dir, id),
		})
	}
	return c.file.saveAs(c.draft())
}

// draft is where the nodes are described until cluster.json is there.
func (c *Cluster) draft() string { return filepath.Join(c.dir, ".nodes.json") }

// nodeFlags are what init and join are told; they keep it in the node's own file.
func nodeFlags(n Node) []string {
	flags := []string{"--data", n.Data, "--id", n.ID, "--region", n.Region, "--zone", n.Zone,
		"--api-listen", strings.TrimPrefix(n.API, "http://"), "--placement-dead-grace", "10s", "--cluster-rejoin", "3s", "--engines-linger", "0s"}
	if n.Listen != "" {
		return append(flags, "--cluster-listen", n.Listen, "--cluster-advertise", n.Cluster)
	}
	return append(flags, "--cluster-listen", n.Cluster)
}

// joined tells whether the node is a member: its identity is on disk.
func joined(n Node) bool {
	_, err := os.Stat(filepath.Join(n.Data, "node.yaml"))
	return err == nil
}

// command runs the lotabots executable and shows its output only when it fails.
func (c *Cluster) command(ctx context.Context, arguments ...string) error {
	out, err := exec.CommandContext(ctx, c.options.Binary, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("lotabots %s: %w\n%s", arguments[0], err, out)
	}
	return nil
}
