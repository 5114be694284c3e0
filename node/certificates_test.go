package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
)

// authorityKey opens the cluster's authority as a voter may.
func authorityKey(t *testing.T, n *testNode) (key []byte, authority *pki.Authority) {
	t.Helper()
	sealed, ok := n.node.state.Secret(authoritySecret)
	if !ok {
		t.Fatal("the state has no authority")
	}
	key, err := n.node.identity.OpenSecret(sealed, spec.NodeID(n.cfg.Node.ID))
	if err != nil {
		t.Fatal(err)
	}
	authority, err = pki.ParseAuthority(sealed.GetPublic(), key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return key, authority
}

// TestAuthorityStaysSealed: neither a worker nor a gateway has the authority's
// key in clear anywhere, or can open it; a second voter can.
func TestAuthorityStaysSealed(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	key, _ := authorityKey(t, n1)
	secrets := [][]byte{key}
	if len(key) == ed25519.PrivateKeySize {
		secrets = append(secrets, key[:ed25519.SeedSize])
	}
	members := map[string]*testNode{
		"w1": n1.join("w1", "north", "worker"), "g1": n1.join("g1", "north", "gateway"), "n2": n1.join("n2", "north", allRoles...),
	}
	for id, m := range members {
		m.ready()
		sealed, ok := m.node.state.Secret(authoritySecret)
		if !ok {
			t.Fatalf("%s has no copy of the sealed authority", id)
		}
		_, err := m.node.identity.OpenSecret(sealed, spec.NodeID(id))
		if voter := id == "n2"; voter != (err == nil) {
			t.Errorf("%s opens the authority: %v", id, err)
		}
		m.stop()
		if err := filepath.WalkDir(m.cfg.Node.Data, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, s := range secrets {
				if bytes.Contains(raw, s) {
					t.Errorf("%s holds the authority's key in clear", path)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAllCertificatesExpired: a cluster that was switched off until every
// certificate had expired starts again by itself and renews them.
func TestAllCertificatesExpired(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	nodes := []*testNode{n1, n1.join("n2", "north", allRoles...), n1.join("n3", "south", allRoles...)}
	key := n1.adminKey()
	for _, n := range nodes {
		n.ready()
	}
	await(t, 30*time.Second, "all three vote", func() bool { return len(n1.node.raft.Voters()) == 3 })
	_, authority := authorityKey(t, n1)
	for _, n := range nodes {
		request, err := n.node.identity.CSR()
		if err != nil {
			t.Fatal(err)
		}
		short, err := authority.Sign(request, pki.SignRequest{ID: spec.NodeID(n.cfg.Node.ID), Roles: roles(n.cfg), TTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		n.stop()
		identity, err := pki.OpenIdentity(filepath.Join(n.cfg.Node.Data, "identity"))
		if err != nil {
			t.Fatal(err)
		}
		if err := identity.Install(short, authority.Cert.Raw); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1200 * time.Millisecond)
	for _, n := range nodes {
		n.start()
	}
	for _, n := range nodes {
		n.ready()
		await(t, 30*time.Second, n.cfg.Node.ID+" has a certificate in force", func() bool { return n.node.identity.Leaf().NotAfter.After(time.Now().Add(24 * time.Hour)) })
		if got := n.get("/v1/models", key); got != http.StatusOK {
			t.Errorf("%s answers %d", n.cfg.Node.ID, got)
		}
	}
	await(t, 30*time.Second, "everybody sees everybody", func() bool {
		for _, n := range nodes {
			if len(n.node.gossip.Members()) != 3 {
				return false
			}
		}
		return true
	})
}

// TestRemovedNode: a node that was removed is refused at once, whatever its
// certificate says.
func TestRemovedNode(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	w := n1.join("w1", "north", "worker")
	w.ready()
	n1.admin("DELETE", "/admin/v1/nodes/w1", nil, nil)
	await(t, 30*time.Second, "its standing feed is cut", func() bool { return w.node.following() != nil })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://n1/applied?index=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.node.port.Client("state").Do(request)
	if err == nil {
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Error("a removed node is served")
		}
	}
}
