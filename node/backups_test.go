package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/demo"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/backup"
	"github.com/lotabots/lotabots/storage/state"
)

// fetchBackup gets a backup by way of the admin API.
func (n *testNode) fetchBackup(recipient string) []byte {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	at := "http://" + n.cfg.API.Listen
	answer, err := client.New(n.adminKey(), at).Send(ctx, at, http.MethodGet, "/admin/v1/backup?recipient="+url.QueryEscape(recipient), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return raw
}

func (n *testNode) makeKey(name string) (id, key string) {
	n.t.Helper()
	var made struct{ ID, Key string }
	n.admin("POST", "/admin/v1/keys", map[string]any{"name": name, "scopes": []string{"infer"}}, &made)
	return made.ID, made.Key
}

// write proposes a command that the admin API does not offer.
func (n *testNode) write(c *wire.Command) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := n.node.proposer.Propose(ctx, stamped([]*wire.Command{c}, "test", time.Now())[0])
	if err != nil || r.GetCode() != "" {
		n.t.Fatal(r, err)
	}
}

// filledCluster is a cluster of one with something of each kind, also on a node
// that is no more.
func filledCluster(t *testing.T) *testNode {
	n := found(t, "n1", "north")
	n.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	n.write(&wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: &wire.Node{Id: "w1", Roles: []string{"worker"}, Region: "south", JoinedMs: 1}}}})
	n.write(&wire.Command{Body: &wire.Command_PutDeployment{PutDeployment: &wire.PutDeployment{Deployment: &wire.Deployment{Name: "away", Model: "tiny", Engine: "embedded", Replicas: 1, Regions: []string{"south"}}}}})
	n.write(&wire.Command{Body: &wire.Command_PutPlacement{PutPlacement: &wire.PutPlacement{Placement: &wire.Placement{Instance: "i-old", Deployment: "away", Version: 1, Node: "w1", Device: "cpu"}}}})
	n.write(&wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: "colour", Value: "blue"}}})
	n.token("worker")
	return n
}

func TestRestore(t *testing.T) {
	severalNodes(t)
	key, recipient, err := backup.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	n := filledCluster(t)
	admin := n.adminKey()
	keptID, kept := n.makeKey("kept")
	goneID, gone := n.makeKey("revoked before")
	n.admin("DELETE", "/admin/v1/keys/"+goneID, nil, nil)
	raw := n.fetchBackup(recipient)
	n.admin("DELETE", "/admin/v1/keys/"+keptID, nil, nil)
	_, later := n.makeKey("made afterwards")
	old := n.node.member
	n.stop()

	m, err := backup.Verify(bytes.NewReader(raw), key)
	if err != nil || !m.Current || m.Cluster != old.Cluster || m.Node != "n1" {
		t.Fatalf("the backup says %+v (%v)", m, err)
	}
	r := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	made, err := Restore(r.cfg, bytes.NewReader(raw), backup.Point{}, []backup.Identity{key}, "test", false, r.logs)
	if err != nil {
		t.Fatal(err)
	}
	if made.From != m || made.Cluster == old.Cluster || len(made.Removed) != 2 || len(made.Models) != 1 || made.AdminKey != "" {
		t.Errorf("restored: %+v", made)
	}
	checkSame(t, r.cfg.Node.Data, raw, key, m)
	if _, err := Restore(r.cfg, bytes.NewReader(raw), backup.Point{}, []backup.Identity{key}, "test", false, r.logs); err == nil {
		t.Error("a member's directory was restored over")
	}

	r.start()
	r.ready()
	for _, c := range []struct {
		what, key string
		want      int
	}{
		{"a key of before", kept, 200}, // its revocation came later, and is undone
		{"a key revoked before", gone, 401}, {"a key made afterwards", later, 401}, {"the admin key", admin, 200},
	} {
		if got := r.get("/v1/models", c.key); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	if r.node.member.Cluster == old.Cluster || bytes.Equal(r.node.member.GossipKey, old.GossipKey) {
		t.Error("the new cluster has the old one's id or gossip key")
	}
	if v, ok := r.node.state.Setting("colour"); !ok || v != "blue" {
		t.Errorf("the setting is %q", v)
	}
	r.admin("PUT", "/admin/v1/models/tiny", bytes.NewReader(demo.Model), nil)
	again := r.join("r2", "south", "worker")
	await(t, 30*time.Second, "a node has joined the restored cluster", func() bool { _, ok := again.node.state.Node("r2"); return ok })
}

// checkSame holds what a restore has made against the backup: the same state by
// hash, and on top of it the nodes, placements, tokens and the authority's key alone.
func checkSame(t *testing.T, dir string, raw []byte, key backup.Identity, m backup.Manifest) {
	t.Helper()
	from, closeFrom := openState(t, filepath.Join(t.TempDir(), "db"))
	defer closeFrom()
	in, err := backup.NewReader(bytes.NewReader(raw), key)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Into(from, m.Index); err != nil {
		t.Fatal(err)
	}
	if !m.Matches(from.Hash()) {
		t.Error("the state in the backup has another hash than its manifest says")
	}
	to, closeTo := openState(t, layout{dir}.database())
	defer closeTo()
	if to.Index() <= m.Index {
		t.Errorf("the restored state is at %d, not above the backup's %d", to.Index(), m.Index)
	}
	keys, _ := from.Keys("", "", 1000)
	restored, _ := to.Keys("", "", 1000)
	same(t, "keys", keys, restored)
	same(t, "tenants", from.Tenants(), to.Tenants())
	same(t, "deployments", from.Deployments(), to.Deployments())
	same(t, "models", from.Models(), to.Models())
	if n := len(to.Placements()); n != 0 {
		t.Errorf("%d placements are left", n)
	}
	for _, n := range to.Nodes() {
		if gone := n.GetState() == wire.NodeState_NODE_STATE_REMOVED; gone != (n.GetId() != "n1") {
			t.Errorf("node %s is %v", n.GetId(), n.GetState())
		}
	}
	for _, k := range to.Tokens() {
		if k.GetRevokedMs() == 0 {
			t.Errorf("join token %s of the old cluster is in force", k.GetId())
		}
	}
	before, _ := from.Secret(authoritySecret)
	after, _ := to.Secret(authoritySecret)
	if bytes.Equal(before.GetPublic(), after.GetPublic()) || len(after.GetWrapped()) != 1 {
		t.Error("the authority is the old one, or sealed to others")
	}
}

func same[M proto.Message](t *testing.T, what string, a, b []M) {
	t.Helper()
	if len(a) == 0 || len(a) != len(b) {
		t.Errorf("%d %s became %d", len(a), what, len(b))
		return
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			t.Errorf("of the %s, %v became %v", what, a[i], b[i])
		}
	}
}

func openState(t *testing.T, dir string) (*state.Store, func()) {
	t.Helper()
	db, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(db)
	if err != nil {
		t.Fatal(errors.Join(err, db.Close()))
	}
	return s, func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestADamagedBackupLeavesNothing(t *testing.T) {
	severalNodes(t)
	key, recipient, err := backup.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	n := found(t, "n1", "north")
	raw := n.fetchBackup(recipient)
	c := configured(t, "n1", "north", allRoles...)
	for what, bad := range map[string][]byte{"cut": raw[:len(raw)-1], "changed": append(bytes.Clone(raw[:len(raw)-20]), make([]byte, 20)...)} {
		if _, err := Restore(c, bytes.NewReader(bad), backup.Point{}, []backup.Identity{key}, "test", false, io.Discard); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), "before byte") {
			t.Errorf("%s: %v", what, err)
		}
		left, err := os.ReadDir(c.Node.Data)
		if err != nil || len(left) != 0 {
			t.Errorf("%s: %v are left (%v)", what, left, err)
		}
	}
	other, _, _ := backup.Ephemeral()
	if _, err := Restore(c, bytes.NewReader(raw), backup.Point{}, []backup.Identity{other}, "test", false, io.Discard); !errors.Is(err, backup.ErrKey) {
		t.Errorf("with another's key: %v", err)
	}
	// As after a crash in the middle: it is repeated from the beginning.
	l := layout{c.Node.Data}
	if err := errors.Join(l.begin("restore"), os.MkdirAll(l.database(), 0o700), os.WriteFile(filepath.Join(l.database(), "rest"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	made, err := Restore(c, bytes.NewReader(raw), backup.Point{}, []backup.Identity{key}, "test", true, io.Discard)
	if err != nil || made.AdminKey == "" {
		t.Fatalf("%+v (%v)", made, err)
	}
}

func TestScheduledBackups(t *testing.T) {
	severalNodes(t)
	key, recipient, err := backup.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	n.cfg.Backup.Dir, n.cfg.Backup.Every, n.cfg.Backup.Keep, n.cfg.Backup.Recipient = dir, 200*time.Millisecond, 2, []string{recipient}
	if _, err := Init(n.cfg, "test"); err != nil {
		t.Fatal(err)
	}
	n.start()
	seen := map[string]bool{}
	await(t, 30*time.Second, "four backups were made", func() bool {
		all, err := backup.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			seen[f.Path] = true
		}
		return len(seen) >= 4
	})
	n.stop()
	all, err := backup.List(dir)
	if err != nil || len(all) < 2 || len(all) > 3 {
		t.Fatalf("%d backups are kept, want 2 (%v)", len(all), err)
	}
	for _, f := range all {
		file, err := os.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := backup.Verify(file, key); err != nil || m.Node != "n1" {
			t.Errorf("%s: %+v, %v", f.Path, m, err)
		}
		file.Close()
	}
	n.cfg.Backup.Recipient = []string{"age1nobody"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if started, err := Start(ctx, n.cfg, "test", n.logs); err == nil || !strings.Contains(err.Error(), "backup.recipient") {
		t.Errorf("a node starts with a recipient that is none: %v", err)
		if started != nil {
			_ = started.Shutdown(ctx)
		}
	}
}
