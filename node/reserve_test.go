package node

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/demo"
)

// grantsOf counts the places that the node's actors have kept for gateways, by result.
func grantsOf(t *testing.T, n *testNode) map[string]float64 {
	t.Helper()
	families, err := n.node.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "lotabots_actor_grants_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" {
					out[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return out
}

// TestWhoWaitsIsGrantedAPlace: requests of two gateways, one of them on a node of its
// own, share the one slot of an instance, and are granted it in turn.
func TestWhoWaitsIsGrantedAPlace(t *testing.T) {
	severalNodes(t)
	needsEngine(t)
	n := found(t, "n1", "north")
	g := n.join("g1", "north", "gateway")
	n.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	n.admin("PUT", "/admin/v1/deployments/tiny", map[string]any{"engine": "embedded", "model": "tiny", "replicas": 1, "slots": 1}, nil)
	for _, at := range []*testNode{n, g} {
		at.ready()
		await(t, 60*time.Second, "the instance is ready", func() bool {
			var s gateway.Status
			at.admin("GET", "/admin/v1/status", nil, &s)
			return len(s.Instances) == 1 && s.Instances[0].State == "ready"
		})
	}
	key := n.adminKey()
	var asking sync.WaitGroup
	for _, at := range []*testNode{n, g} {
		for range 4 {
			asking.Go(func() {
				for range 4 {
					if got, err := at.chat(key, "tiny", demo.Question); err != nil || got != demo.Answer {
						t.Errorf("%s: got %q (%v)", at.cfg.Node.ID, got, err)
					}
				}
			})
		}
	}
	asking.Wait()
	if got := grantsOf(t, n); got["granted"] < 8 {
		t.Errorf("of 32 requests for one slot, places were granted as %v", got)
	}
	await(t, 30*time.Second, "every place has been given back", func() bool { return n.node.actors.Running() == 0 })
}
