//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// A scaled deployment, as the status tells of it.
type scaled struct {
	Deployment string `json:"deployment"`
	Min        int    `json:"min"`
	Wanted     int    `json:"wanted"`
	Reason     string `json:"reason"`
}

// scaling is what the node tells of the deployment, and how many of its instances serve.
func (c *cluster) scaling(node int, deployment string) (s scaled, ready int) {
	c.t.Helper()
	answer, raw, err := call(c.t.Context(), "GET", c.file.Nodes[node].API+"/admin/v1/status", c.file.AdminKey, nil)
	if err != nil || answer.StatusCode != 200 {
		return s, 0 // a leader is being chosen, say; the caller asks again
	}
	var told struct {
		status
		Scaling []scaled `json:"scaling"`
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		c.t.Fatal(err)
	}
	for _, i := range told.Instances {
		if i.Deployment == deployment && i.State == "ready" {
			ready++
		}
	}
	for _, s := range told.Scaling {
		if s.Deployment == deployment {
			return s, ready
		}
	}
	return s, ready
}

// TestScaling: three nodes with gateways each. Clients that ask more than one instance can
// do have a second one loaded, which stays over a change of the leader; once they have
// left it drains and goes after the window; a schedule has it back without anybody asking.
func TestScaling(t *testing.T) {
	c := startCluster(t, nil, "--nodes", "3", "--regions", "here")
	deploy := []string{"deploy", "scaled", "--model", c.file.Deployment, "--slots", "2", "--max", "2", "--queue-wait", "200ms", "--down-window", "6s"}
	c.run(deploy...)
	c.await(time.Minute, "one instance serves", func() bool { s, ready := c.scaling(0, "scaled"); return ready == 1 && s.Wanted == 1 })

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := c.keepAsking(ctx, 6, "scaled", 60)
	took := c.await(time.Minute, "a second instance serves", func() bool { s, ready := c.scaling(1, "scaled"); return ready == 2 && s.Wanted == 2 })
	t.Logf("the second instance served %v after the clients came", took.Round(100*time.Millisecond))

	before := c.status().Leader
	for _, n := range c.file.Nodes {
		if n.ID != before {
			continue
		}
		if answer, raw, err := call(ctx, "POST", n.API+"/admin/v1/leadership/transfer", c.file.AdminKey, nil); err != nil || answer.StatusCode != 200 {
			t.Fatalf("the leadership was not handed over: %v %s", err, raw)
		}
	}
	c.await(30*time.Second, "another leads, and wants as many", func() bool {
		s, ready := c.scaling(2, "scaled")
		if ready < 2 {
			t.Fatalf("the new leader has ended an instance: %+v", s)
		}
		return s.Wanted == 2 && c.status().Leader != before
	})
	cancel()
	clients.check(t)
	took = c.await(time.Minute, "the second instance is gone", func() bool { s, ready := c.scaling(0, "scaled"); return ready == 1 && s.Wanted == 1 })
	t.Logf("the second instance was gone %v after the clients", took.Round(100*time.Millisecond))
	if took < 5*time.Second {
		t.Error("that is before the window was over")
	}
	c.run(append(deploy, "--schedule", "from=00:00 to=24:00 min=2")...)
	c.await(time.Minute, "the schedule has a second instance", func() bool {
		s, ready := c.scaling(1, "scaled")
		return ready == 2 && s.Wanted == 2 && s.Min == 2 && s.Reason == "schedule"
	})
}
