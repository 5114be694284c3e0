package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lotabots/lotabots/node/demo"
)

const loadLimit = 2 * time.Minute

// deploy imports the demonstration's model on the first node, deploys it, and
// waits until every replica is ready.
func (c *Cluster) deploy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	c.file.Deployment = demo.ModelName
	api := c.client()
	regions := map[string]bool{}
	for _, n := range c.file.Nodes {
		regions[n.Region] = true
	}
	wanted := map[string]any{"engine": c.options.Engine, "replicas": max(len(regions), min(2, len(c.file.Nodes))), "min_per_region": 1}
	if c.options.Engine == "external" {
		wanted["options"] = map[string]string{"url": c.options.EngineURL}
	} else {
		if err := api.Do(ctx, "PUT", "/admin/v1/models/"+demo.ModelName, bytes.NewReader(demo.Model), nil); err != nil {
			return fmt.Errorf("importing the demonstration's model: %w", err)
		}
		wanted["model"] = demo.ModelName
	}
	if err := api.Do(ctx, "PUT", "/admin/v1/deployments/"+demo.ModelName, wanted, nil); err != nil {
		return fmt.Errorf("deploying the demonstration's model: %w", err)
	}
	return c.awaitInstances(ctx, wanted["replicas"].(int))
}

func (c *Cluster) awaitInstances(ctx context.Context, replicas int) error {
	for {
		var status struct {
			Instances []struct{ Deployment, State, Reason, Node string }
		}
		err := c.client().Do(ctx, "GET", "/admin/v1/status", nil, &status)
		ready, reason := 0, ""
		for _, i := range status.Instances {
			if i.State == "ready" {
				ready++
			}
			if i.State == "failed" {
				reason = fmt.Sprintf("on node %s: %s", i.Node, i.Reason)
			}
		}
		if ready >= replicas {
			return nil
		}
		if reason != "" {
			return fmt.Errorf("the engine does not start %s", reason)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d instances are ready after %v (last error: %w)", ready, replicas, loadLimit, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
