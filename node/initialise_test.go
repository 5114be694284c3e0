package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestInitIsRepeatable(t *testing.T) {
	c := configured(t, "n1", "north", allRoles...)
	first, err := Init(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(c, "test"); spec.CodeOf(err) != spec.CodeAlreadyExists {
		t.Errorf("a member's directory was taken for a second cluster: %v", err)
	}
	// As after a crash just before the end: node.yaml is what makes a member.
	if err := os.Remove(ConfigFile(c.Node.Data)); err != nil {
		t.Fatal(err)
	}
	second, err := Init(c, "test")
	if err != nil {
		t.Fatalf("an init that was cut off cannot be repeated: %v", err)
	}
	if first.Cluster == second.Cluster || first.AdminKey == second.AdminKey {
		t.Error("the second cluster has the first one's name or key")
	}
}

func TestInitKeepsSecretsToItself(t *testing.T) {
	c := configured(t, "n1", "north", allRoles...)
	made, err := Init(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(c.Node.Data, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may read it", path, info.Mode().Perm())
		}
		if info.IsDir() || filepath.Base(path) == "context.json" {
			return nil
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), made.AdminKey) {
			t.Errorf("%s holds the admin key in clear", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMembershipIsChecked(t *testing.T) {
	l := layout{t.TempDir()}
	if _, err := l.loadMembership(); err == nil {
		t.Error("an empty directory is a member's")
	}
	for _, bad := range []string{"", "{", "{}", `{"cluster":"lb-1","gossip_key":"AAAA"}`} {
		if err := os.WriteFile(l.membership(), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.loadMembership(); err == nil {
			t.Errorf("%q is taken for a membership", bad)
		}
	}
	want := membership{Cluster: "lb-1", GossipKey: make([]byte, 32), Peers: []peer{{ID: "a", Address: "127.0.0.1:1", Voter: true}}}
	if err := l.saveMembership(want); err != nil {
		t.Fatal(err)
	}
	got, err := l.loadMembership()
	if err != nil || got.Cluster != want.Cluster || len(got.Peers) != 1 || got.Peers[0] != want.Peers[0] {
		t.Errorf("got %+v (%v)", got, err)
	}
}
