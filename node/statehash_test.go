package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/state"
)

// TestOutvoted: more copies against fewer; among as many, the leader's word.
func TestOutvoted(t *testing.T) {
	type answers = map[spec.NodeID]string
	for _, c := range []struct {
		what    string
		self    spec.NodeID
		counts  bool
		leader  spec.NodeID
		answers answers
		want    []string
	}{
		{"all alike", "b", true, "a", answers{"a": "x", "c": "x"}, nil},
		{"a wrong follower", "b", true, "a", answers{"a": "y", "c": "y"}, []string{"a", "c"}},
		{"a wrong leader, as it sees itself", "a", true, "a", answers{"b": "y", "c": "y"}, []string{"b", "c"}},
		{"a wrong leader, as a follower sees it", "b", true, "a", answers{"a": "y", "c": "x"}, nil},
		{"one against the leader", "b", true, "a", answers{"a": "y"}, []string{"a"}},
		{"the leader against one", "a", true, "a", answers{"b": "y"}, nil},
		{"two that do not lead", "b", true, "a", answers{"c": "y"}, nil},
		{"no voter has no voice", "f", false, "a", answers{"b": "y"}, []string{"b"}},
		{"no voter, among a split", "f", false, "a", answers{"a": "y", "b": "x"}, []string{"a"}},
		{"three ways, by the leader", "b", true, "a", answers{"a": "y", "c": "z"}, []string{"a"}},
		{"nobody leads", "b", true, "", answers{"c": "y"}, nil},
	} {
		if got := outvoted("x", c.self, c.counts, c.leader, c.answers); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// entry is one that changes the state.
func entry(t *testing.T, index uint64) *wire.Entry {
	t.Helper()
	raw, err := proto.Marshal(&wire.Command{Level: 1, RequestId: fmt.Sprint("r", index), AtMs: int64(index), Body: &wire.Command_PutKey{PutKey: &wire.PutKey{
		Key: &wire.APIKey{Id: fmt.Sprintf("k%06d", index), Tenant: "t", Name: fmt.Sprint("n", index), Hash: make([]byte, 32)}}}})
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Entry{Index: index, Term: 1, Command: raw}
}

func hashing(t *testing.T) *hashes {
	t.Helper()
	db, err := storage.Open(t.TempDir(), storage.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	h := &hashes{build: "test", state: s, log: slog.New(slog.DiscardHandler), every: time.Hour, marks: make(chan *state.Frozen, 1)}
	ended := make(chan struct{})
	unfollow := h.follow()
	go func() { defer close(ended); h.run(t.Context(), unfollow) }() // which ends before the clean-up
	t.Cleanup(func() {
		<-ended
		if err := db.Close(); err != nil { // something frozen was not let go
			t.Error(err)
		}
	})
	return h
}

// TestHashesAreTakenAtTheSameIndexes, whatever indexes Raft keeps to itself.
func TestHashesAreTakenAtTheSameIndexes(t *testing.T) {
	a, b := hashing(t), hashing(t)
	for index := uint64(1); index < 2*hashMark+20; index++ {
		if index >= hashMark && index < hashMark+3 {
			continue // as a new leader's own entries
		}
		e := entry(t, index)
		for _, h := range []*hashes{a, b} {
			if _, err := h.state.ApplyEntry(e); err != nil {
				t.Fatal(err)
			}
			if index == hashMark+3 { // a hash under way when the next is due would be left out
				await(t, 30*time.Second, "the first mark is hashed", func() bool { _, ok := h.marked(0); return ok })
			}
		}
	}
	for _, want := range []uint64{hashMark + 3, 2 * hashMark} {
		for _, h := range []*hashes{a, b} {
			await(t, 30*time.Second, "the mark is hashed", func() bool { _, ok := h.at(t.Context(), want); return ok })
		}
		x, _ := a.at(t.Context(), want)
		y, _ := b.at(t.Context(), want)
		if x.Hash != y.Hash || !x.marked || !y.marked {
			t.Errorf("at %d: %+v and %+v", want, x, y)
		}
	}
	ask := func(query string) int {
		w := httptest.NewRecorder()
		a.serve(w, httptest.NewRequest("GET", "/hash"+query, nil))
		return w.Code
	}
	if got := ask("?index=7"); got != http.StatusNotFound {
		t.Errorf("an index without a hash: %d", got)
	}
	if got := ask(fmt.Sprint("?index=", a.state.Index())); got != http.StatusOK {
		t.Errorf("the present index: %d", got)
	}
	if got := ask(""); got != http.StatusBadRequest {
		t.Errorf("no index: %d", got)
	}
}

// TestADivergedCopyIsNotRead: a record of one node is changed behind the back of
// its state machine. That node says so and answers no admin reads; the others do.
func TestADivergedCopyIsNotRead(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	n2, n3 := n1.join("n2", "north", allRoles...), n1.join("n3", "south", allRoles...)
	nodes := []*testNode{n1, n2, n3}
	for _, n := range nodes {
		n.ready()
	}
	n1.admin("POST", "/admin/v1/keys", map[string]any{"name": "marked-record"}, nil)
	compared := func(n *testNode) bool {
		h := n.node.hashes
		mine, err := h.now()
		return err == nil && h.against(t.Context(), mine)
	}
	for _, n := range nodes {
		await(t, 30*time.Second, "the states are compared", func() bool { return compared(n) })
		if err := n.node.hashes.sound(); err != nil {
			t.Errorf("%s, before anything was changed: %v", n.cfg.Node.ID, err)
		}
	}
	corrupt(t, n3.node, "marked-record", "marked-rekord")
	n1.admin("POST", "/admin/v1/keys", map[string]any{"name": "another"}, nil)
	for _, n := range nodes {
		await(t, 30*time.Second, "the states are compared", func() bool { return compared(n) && (n != n3 || n.node.hashes.sound() != nil) })
	}
	read := func(n *testNode, path string) error {
		var s gateway.Status
		err := client.New(n1.adminKey(), "http://"+n.cfg.API.Listen).Do(t.Context(), "GET", path, nil, &s)
		if path == "/admin/v1/status" && (s.Diverged != "") != (n == n3) {
			t.Errorf("the status of %s: %q", n.cfg.Node.ID, s.Diverged)
		}
		return err
	}
	for _, n := range nodes {
		err := read(n, "/admin/v1/keys")
		if n == n3 != (err != nil && strings.Contains(err.Error(), "state_diverged")) {
			t.Errorf("%s: %v", n.cfg.Node.ID, err)
		}
		if err := read(n, "/admin/v1/status"); err != nil {
			t.Errorf("%s: %v", n.cfg.Node.ID, err)
		}
	}
	if !strings.Contains(n3.logs.whole(), "this node's copy of the state is not the cluster's") {
		t.Error("nothing in the log")
	}
	corrupt(t, n3.node, "marked-rekord", "marked-record")
	await(t, 30*time.Second, "the copy is right again", func() bool { return compared(n3) && read(n3, "/admin/v1/keys") == nil })
}

// corrupt changes the bytes in the node's database, unseen by its state machine.
func corrupt(t *testing.T, n *Node, from, to string) {
	t.Helper()
	db, changed := n.db.Pebble(), 0
	first := storage.State.Key(nil)
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.SeekGE(first); ok && bytes.HasPrefix(it.Key(), first); ok = it.Next() {
		if value := bytes.Clone(it.Value()); bytes.Contains(value, []byte(from)) {
			if err := db.Set(bytes.Clone(it.Key()), bytes.ReplaceAll(value, []byte(from), []byte(to)), nil); err != nil {
				t.Fatal(err)
			}
			changed++
		}
	}
	if err := it.Close(); err != nil || changed == 0 {
		t.Fatalf("%d records changed: %v", changed, err)
	}
}

// TestLinearizableReadsOfEveryNode: also of one that is no Raft server.
func TestLinearizableReadsOfEveryNode(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	g := n1.join("g1", "north", "gateway")
	g.ready()
	for i := range 20 {
		name := fmt.Sprint("key-", i)
		n1.admin("POST", "/admin/v1/keys", map[string]any{"name": name}, nil)
		var page struct{ Data []struct{ Name string } }
		g.admin("GET", "/admin/v1/keys?consistency=linearizable&limit=1000", nil, &page)
		if !slices.ContainsFunc(page.Data, func(k struct{ Name string }) bool { return k.Name == name }) {
			t.Fatalf("%s was acknowledged and is not read from the gateway", name)
		}
	}
	n1.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := client.New(n1.adminKey(), "http://"+g.cfg.API.Listen).Do(ctx, "GET", "/admin/v1/keys?consistency=linearizable", nil, nil)
	if err == nil {
		t.Error("a linearizable read without a leader")
	}
}
