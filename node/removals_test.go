package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestRemovedNodeEnds: a voter that runs when it is removed, a worker, and a voter
// that does not run then, all learn of it, and do not start again. With an emptied
// directory and a new token the machine is a member again.
func TestRemovedNodeEnds(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2, n3, w := n1.join("n2", "north", allRoles...), n1.join("n3", "north", allRoles...), n1.join("w1", "north", "worker")
	n1.voters(3)
	w.ready()
	n3.stop()
	n1.admin("DELETE", "/admin/v1/nodes/n3", nil, nil)
	n1.voters(1) // of two that remain, one votes
	for _, id := range []string{"n2", "w1"} {
		n1.admin("DELETE", "/admin/v1/nodes/"+id, nil, nil)
	}
	refused := func(n *testNode) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if again, err := Start(ctx, n.cfg, "test", n.logs); spec.CodeOf(err) != spec.CodeNodeRemoved || !strings.Contains(spec.Explain(err), "join again") {
			t.Errorf("%s was removed, and starts: %v", n.cfg.Node.ID, err)
			if again != nil {
				_ = again.Shutdown(ctx)
			}
		}
	}
	for _, n := range []*testNode{n2, w} {
		select {
		case <-n.node.Halted():
			if spec.CodeOf(n.node.HaltReason()) != spec.CodeNodeRemoved {
				t.Errorf("%s halts because of %v", n.cfg.Node.ID, n.node.HaltReason())
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s runs on, although it was removed", n.cfg.Node.ID)
		}
		n.stop()
	}
	refused(n2)
	refused(n3)
	n2.cfg.Node.Data = t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := Join(ctx, n2.cfg, n1.cfg.Cluster.Listen, n1.token("voter"), "test"); err != nil {
		t.Fatal(err)
	}
	n2.start()
	n2.ready()
	time.Sleep(2 * epochEvery) // to find that it was removed, which it was not
	select {
	case <-n2.node.Halted():
		t.Errorf("who joined again halts: %v", n2.node.HaltReason())
	default:
	}
}

func TestGivenUp(t *testing.T) {
	const removed, active = wire.NodeState_NODE_STATE_REMOVED, wire.NodeState_NODE_STATE_ACTIVE
	other := &wire.Node{Id: "n2", State: active, Roles: []string{"voter"}}
	for name, c := range map[string]struct {
		nodes []*wire.Node
		want  bool
	}{
		"removed":               {[]*wire.Node{{Id: "n1", State: removed, CertSerial: "1a"}, other}, true},
		"a member":              {[]*wire.Node{{Id: "n1", State: active, CertSerial: "1a"}, other}, false},
		"an earlier n1 removed": {[]*wire.Node{{Id: "n1", State: removed, CertSerial: "1b"}, other}, false},
		"no voter remains":      {[]*wire.Node{{Id: "n1", State: removed, CertSerial: "1a"}, {Id: "n2", State: removed, Roles: []string{"voter"}}, {Id: "w", State: active, Roles: []string{"worker"}}}, false},
		"not known":             {[]*wire.Node{other}, false},
	} {
		if got := givenUp(c.nodes, "n1", "1a"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
