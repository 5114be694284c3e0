package state

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// FuzzApply: no command that a member may have proposed stops the nodes that apply it, and two
// of them come to the same state by it.
func FuzzApply(f *testing.F) {
	for _, c := range []*wire.Command{
		putKey("k9", "acme", "nine"), revokeKey("k1"), putModel("tiny", "d"), place("chat-9", "chat", "n1"), putToken("tok9", 3, 5000), putSetting("colour", "red"),
		undeploy("chat"), deploy(&wire.Deployment{Name: "odd", Engine: "embedded", Model: "tiny", Replicas: 1 << 30}), putTenant(&wire.Tenant{Id: "a"}),
	} {
		c.Level = 1
		raw, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	one, other := newReplica(f), newReplica(f)
	fill(f, one)
	fill(f, other)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := decodeCommand(raw); err != nil {
			return // a newer build's: it stops a node, which is meant
		}
		var results [2]*wire.Result
		for i, r := range []*replica{one, other} {
			results[i] = r.Apply(&raft.Log{Index: r.Index() + 1, Term: 1, Data: raw}).(*wire.Result)
		}
		if !proto.Equal(results[0], results[1]) {
			t.Fatalf("%v and %v", results[0], results[1])
		}
		a, _ := one.Hash()
		if b, _ := other.Hash(); !bytes.Equal(a, b) {
			t.Fatal("two nodes came to different states")
		}
	})
}
