package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/client"
)

// tryWrite tells whether a write is acknowledged within a moment.
func (n *testNode) tryWrite(name string) error { return n.makesKey(name, 3*time.Second) }

func (n *testNode) makesKey(name string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return client.New(n.adminKey(), "http://"+n.cfg.API.Listen).Do(ctx, "POST", "/admin/v1/keys", map[string]any{"name": name, "scopes": []string{"infer"}}, nil)
}

// voters waits until n sees so many.
func (n *testNode) voters(want int) {
	n.t.Helper()
	await(n.t, time.Minute, "the voters are as many as wanted", func() bool { return len(n.node.raft.Voters()) == want })
}

// TestRecover: two of three voters are lost for good. The third goes on alone,
// with every key; others join; and the two, when they come back after all and
// are a quorum to each other, are stopped before they do harm.
func TestRecover(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2, n3 := n1.join("n2", "north", allRoles...), n1.join("n3", "south", allRoles...)
	g1 := n1.join("g1", "north", "gateway")
	n1.voters(3)
	_, kept := n1.makeKey("kept")
	goneID, gone := n1.makeKey("revoked")
	n1.admin("DELETE", "/admin/v1/keys/"+goneID, nil, nil)
	if _, err := Recover(n1.cfg, true, io.Discard); err == nil {
		t.Error("a node that runs is recovered")
	}
	n2.stop()
	n3.stop()
	if err := n1.tryWrite("without a quorum"); err == nil {
		t.Error("one of three voters writes")
	}
	n1.stop()

	looked, err := Recover(n1.cfg, true, n1.logs)
	if err != nil || !slices.Equal(looked.Removed, []string{"n2", "n3"}) || looked.Index == 0 || looked.At != 0 || looked.Warning != "" {
		t.Fatalf("looked: %+v (%v)", looked, err)
	}
	made, err := Recover(n1.cfg, false, n1.logs)
	if err != nil || made.Epoch != 1 || made.At < looked.Index+recoveryGap {
		t.Fatalf("recovered: %+v (%v)", made, err)
	}
	if _, err := Recover(n1.cfg, false, n1.logs); spec.CodeOf(err) != spec.CodeConflict {
		t.Errorf("recovered twice: %v", err)
	}

	n1.start()
	n1.ready()
	if sessionEpochOf(n1.node.state) == 0 {
		t.Error("sessions go on, although their revocations may be lost")
	}
	check := func(n *testNode) {
		t.Helper()
		await(t, 30*time.Second, "the key works on "+n.cfg.Node.ID, func() bool { return n.get("/v1/models", kept) == http.StatusOK })
		if got := n.get("/v1/models", gone); got != http.StatusUnauthorized {
			t.Errorf("%s answers %d to the revoked key", n.cfg.Node.ID, got)
		}
	}
	_, fresh := n1.makeKey("after the recovery")
	check(n1)
	check(g1)
	await(t, 30*time.Second, "the gateway follows the survivor", func() bool { return g1.get("/v1/models", fresh) == http.StatusOK })
	returns(t, n1, n2, n3)

	// Another machine takes the place of one, and one of the dead comes back as new.
	n4 := n1.join("n4", "south", allRoles...)
	n2.cfg.Node.Data = t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := Join(ctx, n2.cfg, n1.cfg.Cluster.Listen, n1.token("voter"), "test"); err != nil {
		t.Fatal(err)
	}
	n2.start()
	n1.voters(3)
	check(n4)
	check(n2)
}

// returns starts the dead ones, first while the survivor is there, then while it
// is not.
func returns(t *testing.T, survivor, a, b *testNode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := Start(ctx, a.cfg, "test", a.logs)
	if spec.CodeOf(err) != spec.CodeNodeRemoved || !strings.Contains(spec.Explain(err), "join again") {
		t.Fatalf("a voter that was given up has started: %v", err)
	}
	if n != nil {
		t.Fatal("there is a node in spite of the error")
	}

	survivor.stop()
	a.start()
	b.start()
	tries := 0
	await(t, 30*time.Second, "the dead are a quorum and write", func() bool {
		tries++
		return a.tryWrite(fmt.Sprint("by the dead ", tries)) == nil
	})
	term := a.node.raft.Term()
	survivor.start()
	survivor.ready()
	for _, n := range []*testNode{a, b} {
		select {
		case <-n.node.Halted():
			if spec.CodeOf(n.node.HaltReason()) != spec.CodeNodeRemoved {
				t.Errorf("%s halts because of %v", n.cfg.Node.ID, n.node.HaltReason())
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s runs on beside the recovered cluster, in term %d", n.cfg.Node.ID, term)
		}
		if err := n.tryWrite("by one that was halted"); err == nil {
			t.Errorf("%s writes on", n.cfg.Node.ID)
		}
		n.stop()
	}
	if v := survivor.node.raft.Voters(); len(v) != 1 || v[0] != "n1" || !survivor.node.raft.IsLeader() {
		t.Errorf("the survivor's voters are %v, and it leads: %v", v, survivor.node.raft.IsLeader())
	}
	if err := survivor.makesKey(fmt.Sprint("by the dead ", tries), time.Minute); err != nil { // the name is free: that write is not here
		t.Errorf("the survivor does not write: %v", err)
	}
}

// TestRecoverIsRepeatable: cut off at any point, it is refused to run the node
// and allowed to go on.
func TestRecoverIsRepeatable(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2, n3 := n1.join("n2", "north", "voter"), n1.join("n3", "north", "voter")
	n1.voters(3)
	_, kept := n1.makeKey("kept")
	n2.stop()
	n3.stop()
	n1.stop()
	l := layout{n1.cfg.Node.Data}
	if err := l.begin("recover"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := Start(ctx, n1.cfg, "test", n1.logs); spec.CodeOf(err) != spec.CodeConflict {
		t.Fatalf("a node runs in the middle of a recover: %v", err)
	}
	// As after a crash when some of the commands were applied.
	g, err := l.openGround(n1.cfg, offlineLogger(io.Discard, n1.cfg))
	if err != nil {
		t.Fatal(err)
	}
	index, term := g.state.Position()
	half := &wire.Entry{Index: index + recoveryGap, Term: term + 1}
	if _, err := g.state.ApplyEntry(half); err != nil {
		t.Fatal(err)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	made, err := Recover(n1.cfg, false, n1.logs)
	if err != nil || !slices.Equal(made.Removed, []string{"n2", "n3"}) {
		t.Fatalf("%+v (%v)", made, err)
	}
	n1.start()
	n1.ready()
	if got := n1.get("/v1/models", kept); got != http.StatusOK {
		t.Errorf("the key: %d", got)
	}
}

// TestRecoverThreeOfFive: three of five voters are lost for good. One of the two
// survivors is recovered; the other is given up with the lost ones, who were a
// quorum; a spare follows the survivor and votes, without a word from anybody.
func TestRecoverThreeOfFive(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	all := []*testNode{n1}
	for i, region := range []string{"north", "north", "south", "south", "north"} {
		all = append(all, n1.join(fmt.Sprint("n", i+2), region, "voter", "gateway"))
	}
	n1.voters(5)
	n6 := all[5]
	await(t, 30*time.Second, "the sixth is a spare", func() bool { return n6.node.raft.InConfiguration() })
	if v := n1.node.raft.Voters(); slices.Contains(v, "n6") {
		t.Fatalf("the voters are %v", v)
	}
	_, kept := n1.makeKey("kept")
	lost := all[2:5]
	stopAll(lost...)
	soon, end := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer end()
	if err := n1.node.setState(soon, "n6", wire.NodeState_NODE_STATE_ACTIVE); err == nil {
		t.Error("two of five voters write")
	}
	stopAll(n1, all[1])
	made, err := Recover(n1.cfg, false, n1.logs)
	if err != nil || !slices.Equal(made.Removed, []string{"n2", "n3", "n4", "n5"}) {
		t.Fatalf("recovered: %+v (%v)", made, err)
	}
	n1.start()
	n1.ready()
	_, fresh := n1.makeKey("after the recovery")
	for _, key := range []string{kept, fresh} {
		await(t, 30*time.Second, "the keys work on the spare", func() bool { return n6.get("/v1/models", key) == http.StatusOK })
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, n := range all[1:3] { // one of them survived
		if _, err := Start(ctx, n.cfg, "test", n.logs); spec.CodeOf(err) != spec.CodeNodeRemoved {
			t.Errorf("%s was given up, and starts: %v", n.cfg.Node.ID, err)
		}
	}
	n7 := n1.join("n7", "south", "voter", "gateway")
	n1.voters(3)
	for _, n := range []*testNode{n6, n7} {
		await(t, 30*time.Second, n.cfg.Node.ID+" votes", func() bool { return len(n.node.raft.Voters()) == 3 })
	}
	if err := n6.makesKey("by the former spare", time.Minute); err != nil {
		t.Error(err)
	}
}

func stopAll(nodes ...*testNode) {
	var stopping sync.WaitGroup
	for _, n := range nodes {
		stopping.Go(n.stop)
	}
	stopping.Wait()
}
