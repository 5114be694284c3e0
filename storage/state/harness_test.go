package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// tester is what *testing.T, *testing.B, *testing.F and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func try(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// A replica is one node's state over its own database.
type replica struct {
	*Store
	fs vfs.FS
	db *storage.DB
}

func start(t tester, fs vfs.FS, l limits) *replica {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: fs})
	try(t, err)
	s, err := open(db, l)
	try(t, err)
	return &replica{s, fs, db}
}

// newReplica is closed with the test.
func newReplica(t testing.TB) *replica {
	t.Helper()
	r := start(t, vfs.NewMem(), usual)
	t.Cleanup(func() { r.db.Close() })
	return r
}

// restart opens the state again. What was written last may be lost.
func (r *replica) restart(t tester) *replica {
	t.Helper()
	try(t, r.db.Close())
	return start(t, r.fs, r.limits)
}

func encode(t tester, c *wire.Command) []byte {
	t.Helper()
	raw, err := proto.Marshal(c)
	try(t, err)
	return raw
}

// do applies a command at the next index, as Raft does.
func (r *replica) do(t tester, c *wire.Command) *wire.Result {
	t.Helper()
	return r.Apply(&raft.Log{Index: r.Index() + 1, Term: 1, Data: encode(t, c)}).(*wire.Result)
}

// ok applies a command that must be carried out.
func (r *replica) ok(t tester, c *wire.Command) *wire.Result {
	t.Helper()
	res := r.do(t, c)
	if res.GetCode() != "" {
		t.Fatalf("%T: %s: %s", c.GetBody(), res.GetCode(), res.GetMessage())
	}
	return res
}

// refused applies a command that must be refused by that code.
func (r *replica) refused(t tester, code spec.Code, c *wire.Command) {
	t.Helper()
	before, _ := r.Hash()
	res := r.do(t, c)
	if res.GetCode() != string(code) || res.GetMessage() == "" {
		t.Fatalf("%T: code %q (%s), want %q", c.GetBody(), res.GetCode(), res.GetMessage(), code)
	}
	if after, _ := r.Hash(); !bytes.Equal(before, after) {
		t.Fatalf("%T was refused and changed the state", c.GetBody())
	}
}

func sameHash(t tester, what string, a, b *Store) {
	t.Helper()
	x, at := a.Hash()
	y, too := b.Hash()
	if at != too || !bytes.Equal(x, y) {
		t.Fatalf("%s: %x at %d and %x at %d", what, x[:6], at, y[:6], too)
	}
}

func snapshotOf(t tester, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := s.WriteSnapshot(&b)
	try(t, err)
	return b.Bytes()
}

// crash is the disk of r as it may be after losing power now: anything that was
// not synced may be there or not.
func (r *replica) crash(seed uint64, percent int) vfs.FS {
	return r.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
}

// Commands, with what is most often wanted filled in.

func sum(s string) []byte { return bytes.Repeat([]byte{s[0]}, hashBytes) }

func putNode(n *wire.Node) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: n}}}
}

func setNode(id string, s wire.NodeState) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_SetNodeState{SetNodeState: &wire.SetNodeState{Id: id, State: s}}}
}

func putTenant(n *wire.Tenant) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: n}}}
}

func putKey(id, tenant, name string) *wire.Command {
	k := &wire.APIKey{Id: id, Tenant: tenant, Name: name, Hash: sum("h")}
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: k}}}
}

func revokeKey(id string) *wire.Command {
	return &wire.Command{AtMs: 2000, Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: id}}}
}

func deploy(d *wire.Deployment) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutDeployment{PutDeployment: &wire.PutDeployment{Deployment: d}}}
}

func undeploy(name string) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_RemoveDeployment{RemoveDeployment: &wire.RemoveDeployment{Name: name}}}
}

func place(instance, deployment, node string) *wire.Command {
	p := &wire.Placement{Instance: instance, Deployment: deployment, Version: 1, Node: node, Device: "cpu/" + node}
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutPlacement{PutPlacement: &wire.PutPlacement{Placement: p}}}
}

func unplace(instance string) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_RemovePlacement{RemovePlacement: &wire.RemovePlacement{Instance: instance}}}
}

func putModel(name, digest string) *wire.Command {
	m := &wire.Model{Name: name, Format: "gguf", Digest: sum(digest), Size: 10, ChunkSize: 4, Chunks: [][]byte{sum("1"), sum("2"), sum("3")}}
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutModel{PutModel: &wire.PutModel{Model: m}}}
}

func removeModel(name string) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_RemoveModel{RemoveModel: &wire.RemoveModel{Name: name}}}
}

func putToken(id string, uses uint32, expires int64) *wire.Command {
	k := &wire.JoinToken{Id: id, Hash: sum("t"), Role: "worker", UsesLeft: uses, ExpiresMs: expires}
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutToken{PutToken: &wire.PutToken{Token: k}}}
}

func useToken(id string, at int64) *wire.Command {
	return &wire.Command{AtMs: at, Body: &wire.Command_UseToken{UseToken: &wire.UseToken{Id: id, Node: "n9"}}}
}

func revokeToken(id string) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_RevokeToken{RevokeToken: &wire.RevokeToken{Id: id}}}
}

func putSecret(name, content string, expect uint64) *wire.Command {
	c := &wire.Secret{Name: name, Ciphertext: []byte(content), Wrapped: []*wire.WrappedKey{{Node: "n1", Ephemeral: sum("e")}}}
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: c, ExpectVersion: expect}}}
}

func putSetting(name, value string) *wire.Command {
	return &wire.Command{AtMs: 1000, Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: value}}}
}

// filled has a record of every kind.
func filled(t testing.TB) *replica {
	t.Helper()
	r := newReplica(t)
	fill(t, r)
	return r
}

func fill(t tester, r *replica) {
	t.Helper()
	for i, c := range []*wire.Command{
		putNode(&wire.Node{Id: "n1", Roles: []string{"voter", "worker"}, Region: "north", ClusterAddr: "10.0.0.1:7946"}),
		putNode(&wire.Node{Id: "n2", Roles: []string{"worker"}, Region: "south"}),
		putTenant(&wire.Tenant{Id: "acme", Name: "Acme", AuthMaxAgeS: 900}),
		putKey("k1", "acme", "one"), putKey("k2", "acme", "two"), putKey("k3", "other", "one"), revokeKey("k2"),
		putModel("tiny", "d"),
		deploy(&wire.Deployment{Name: "chat", Engine: "embedded", Model: "tiny", Options: map[string]string{"a": "1", "b": "2", "c": "3"}, Replicas: 2}),
		deploy(&wire.Deployment{Name: "gone", Engine: "external"}), undeploy("gone"),
		place("chat-1", "chat", "n1"), place("chat-2", "chat", "n2"),
		putToken("tok", 3, 5000), putSecret("ca", "sealed", 0), putSetting("colour", "blue"),
	} {
		c.RequestId, c.Level = fmt.Sprintf("fill/%d", i), 1
		r.ok(t, c)
	}
}
