package node

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/backup"
	"github.com/lotabots/lotabots/storage/state"
)

// TestPointInTime records the state's hash at several indexes while it is written,
// and restores to each of them from one backup.
func TestPointInTime(t *testing.T) {
	severalNodes(t)
	key, recipient, err := backup.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	n := found(t, "n1", "north")
	admin := n.adminKey()
	hashes := map[uint64][]byte{}
	record := func() uint64 {
		sum, index := n.node.state.Hash()
		hashes[index] = sum
		return index
	}
	record()
	keptID, kept := n.makeKey("kept")
	goneID, gone := n.makeKey("revoked before")
	n.admin("DELETE", "/admin/v1/keys/"+goneID, nil, nil)
	point := record()
	n.admin("DELETE", "/admin/v1/keys/"+keptID, nil, nil)
	record()
	_, later := n.makeKey("made afterwards")
	last := record()
	raw := n.fetchBackup(recipient)
	g := n.join("g1", "north", "gateway")
	await(t, 30*time.Second, "the gateway knows the keys", func() bool { return g.get("/v1/models", admin) == 200 && g.node.state.Index() > last })
	alone := g.fetchBackup(recipient)
	g.stop()
	n.stop()
	if m, err := backup.Verify(bytes.NewReader(alone), key); err != nil || m.From != m.Index || m.Index <= last {
		t.Errorf("the backup of a node that is no Raft server says %+v (%v)", m, err)
	}

	m, err := backup.Verify(bytes.NewReader(raw), key)
	if err != nil || m.From != 0 || m.Index < last || m.StateHash == "" {
		t.Fatalf("the backup says %+v (%v)", m, err)
	}
	for index, want := range hashes {
		s, closeState := openState(t, filepath.Join(t.TempDir(), "db"))
		r, err := backup.NewReader(bytes.NewReader(raw), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Into(s, index); err != nil {
			t.Fatal(err)
		}
		if got, at := s.Hash(); at != index || !bytes.Equal(got, want) {
			t.Errorf("at index %d the live state had the hash %x, and the restored one has %x at %d", index, want, got, at)
		}
		r.Close()
		closeState()
	}

	r := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	for what, at := range map[string]backup.Point{"beyond the end": {Index: m.Index + 1}, "too early": {Time: time.Now().Add(-time.Hour)}} {
		if _, err := Restore(r.cfg, bytes.NewReader(raw), at, []backup.Identity{key}, "test", false, r.logs); !errors.Is(err, backup.ErrPoint) {
			t.Errorf("%s: %v", what, err)
		}
		if left, err := os.ReadDir(r.cfg.Node.Data); err != nil || len(left) != 0 {
			t.Errorf("%s: %v are left (%v)", what, left, err)
		}
	}
	made, err := Restore(r.cfg, bytes.NewReader(raw), backup.Point{Index: point}, []backup.Identity{key}, "test", false, r.logs)
	if err != nil {
		t.Fatal(err)
	}
	if made.At != point || made.From != m || made.Writes < 2 || len(made.Undone) != 1 {
		t.Fatalf("restored: %+v", made)
	}
	if u := made.Undone[0]; u.Kind != "key" || u.ID != keptID || u.Name != "kept" || u.What != "revoked" || u.Time.IsZero() {
		t.Errorf("undone: %+v", u)
	}
	if _, err := os.Stat(layout{r.cfg.Node.Data}.rehearsal()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rehearsal has left something: %v", err)
	}
	r.start()
	r.ready()
	for _, c := range []struct {
		what, key string
		want      int
	}{{"a key revoked after the point", kept, 200}, {"a key revoked before it", gone, 401}, {"a key made after it", later, 401}, {"the admin key", admin, 200}} {
		if got := r.get("/v1/models", c.key); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestTheSessionEpochRises at each restore and each recovery, beyond what their
// backups and survivors know.
func TestTheSessionEpochRises(t *testing.T) {
	severalNodes(t)
	key, recipient, err := backup.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	n := found(t, "n1", "north")
	if got := sessionEpochOf(n.node.state); got != 0 {
		t.Fatalf("the first session epoch is %d", got)
	}
	raw := n.fetchBackup(recipient)
	n.stop()
	var last uint64
	for range 2 { // of the same backup: the second knows nothing of the first
		c := configured(t, "n1", "north", allRoles...)
		if _, err := Restore(c, bytes.NewReader(raw), backup.Point{}, []backup.Identity{key}, "test", false, io.Discard); err != nil {
			t.Fatal(err)
		}
		s, closeState := openState(t, layout{c.Node.Data}.database())
		now := sessionEpochOf(s)
		if now <= last {
			t.Errorf("the session epoch is %d after a restore, and was %d", now, last)
		}
		last = now
		ahead := &ground{state: s}
		future := time.UnixMilli(int64(last)).Add(-time.Hour) // a clock that was set back
		if got := ahead.endSessions(future).GetPutSetting().GetValue(); got != strconv.FormatUint(last+1, 10) {
			t.Errorf("after %d comes %s", last, got)
		}
		closeState()
		time.Sleep(2 * time.Millisecond) // the epoch is the time
	}
}

func TestUndone(t *testing.T) {
	key := func(f func(k *wire.APIKey)) *wire.APIKey {
		k := &wire.APIKey{Id: "k", Hash: []byte{1}, ChangedMs: 1}
		f(k)
		return k
	}
	same := func(*wire.APIKey) {}
	for _, c := range []struct {
		then, later func(*wire.APIKey)
		there       bool
		want        string
	}{
		{same, same, true, ""}, {same, same, false, "removed"},
		{same, func(k *wire.APIKey) { k.RevokedMs = 5 }, true, "revoked"},
		{func(k *wire.APIKey) { k.RevokedMs = 5 }, func(k *wire.APIKey) { k.RevokedMs = 5 }, true, ""},
		{same, func(k *wire.APIKey) { k.Hash = []byte{2} }, true, "given a new secret"},
		{same, func(k *wire.APIKey) { k.ChangedMs = 9 }, true, "changed"},
	} {
		if got, _ := keyLost(key(c.then), key(c.later), c.there); got != c.want {
			t.Errorf("a key: %q, want %q", got, c.want)
		}
	}
	user := &wire.User{Id: "u", Password: "p", Groups: []string{"a", "b"}}
	for _, c := range []struct {
		later *wire.User
		there bool
		want  string
	}{
		{user, true, ""}, {nil, false, "removed"},
		{&wire.User{Password: "p", Groups: []string{"b", "a", "c"}}, true, ""},
		{&wire.User{Password: "p", Groups: []string{"a"}}, true, "taken out of a group"},
		{&wire.User{Password: "q", Groups: []string{"a", "b"}}, true, "given a new password"},
		{&wire.User{Password: "p", Groups: []string{"a", "b"}, DisabledMs: 3}, true, "disabled"},
	} {
		if got, _ := userLost(user, c.later, c.there); got != c.want {
			t.Errorf("a user: %q, want %q", got, c.want)
		}
	}
}

func TestUndoneBetweenStates(t *testing.T) {
	at, closeAt := openState(t, filepath.Join(t.TempDir(), "db"))
	defer closeAt()
	end, closeEnd := openState(t, filepath.Join(t.TempDir(), "db"))
	defer closeEnd()
	index := uint64(0)
	apply := func(c *wire.Command, to ...*state.Store) {
		t.Helper()
		index++
		raw, err := proto.Marshal(stamped([]*wire.Command{c}, "test", time.Now())[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range to {
			if r, err := s.ApplyEntry(&wire.Entry{Index: index, Term: 1, Command: raw}); err != nil || r.GetCode() != "" {
				t.Fatal(r, err)
			}
		}
	}
	apply(&wire.Command{Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: &wire.Tenant{Id: "acme"}}}}, at, end)
	for _, id := range []string{"u1", "u2"} {
		apply(&wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: &wire.User{Id: id, Name: "name of " + id, Tenant: "acme"}}}}, at, end)
	}
	apply(&wire.Command{Body: &wire.Command_PutBinding{PutBinding: &wire.PutBinding{Binding: &wire.Binding{Id: "b1", Subject: "user:u2", Role: "viewer", Tenant: "acme"}}}}, at, end)
	apply(&wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{Id: "k1", Name: "one", Tenant: "acme", Owner: "u1", Hash: make([]byte, 32), Scopes: []string{"infer"}}}}}, at, end)
	if got := undone(at, end); len(got) != 0 {
		t.Fatalf("of the same state, undone: %+v", got)
	}
	apply(&wire.Command{Body: &wire.Command_RemoveUser{RemoveUser: &wire.RemoveUser{Id: "u1"}}}, end) // and with him his key
	apply(&wire.Command{Body: &wire.Command_RemoveBinding{RemoveBinding: &wire.RemoveBinding{Id: "b1"}}}, end)
	var got []string
	for _, u := range undone(at, end) {
		got = append(got, u.Kind+" "+u.ID+" "+u.Name+": "+u.What)
	}
	if want := []string{"key k1 one: revoked", "user u1 name of u1: removed", "binding b1 user:u2 has viewer: removed"}; !slices.Equal(got, want) {
		t.Errorf("undone: %q, want %q", got, want)
	}
}
