package gossip

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
)

// clusterPort opens the real port for a node.
func clusterPort(t *testing.T, a *pki.Authority, id spec.NodeID) *transport.Port {
	t.Helper()
	identity, err := pki.CreateIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := a.Sign(csr, pki.SignRequest{ID: id, Roles: []spec.Role{spec.RoleVoter}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := identity.Install(certificate, a.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	p, err := transport.Listen(transport.Config{
		Listen: "127.0.0.1:0", Identity: identity, Clock: time.Now,
		Resolve: func(spec.NodeID) (string, bool) { return "", false },
		Admit:   func(transport.Peer, string) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestOverTheClusterPort runs three members on the port that nodes have: streams
// through mutual TLS, packets beside it. A member of another authority, although
// it has the gossip key, opens no stream and so never gets to know them.
func TestOverTheClusterPort(t *testing.T) {
	authority, err := pki.NewAuthority("lb-test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	pa, pb, pc := clusterPort(t, authority, "a"), clusterPort(t, authority, "b"), clusterPort(t, authority, "c")
	a, b, c := start(t, config("a", pa)), start(t, config("b", pb, pa.Addr())), start(t, config("c", pc, pa.Addr()))
	for _, g := range []*Gossip{a, b, c} {
		see(t, g, "a", "b", "c")
	}
	other, err := pki.NewAuthority("lb-other", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	stranger := start(t, config("d", clusterPort(t, other, "d"), pa.Addr()))
	eventually(t, 30*time.Second, "the stranger has failed", func() bool {
		return counter(t, stranger.metrics.rejoins.WithLabelValues("failed")) >= 2
	})
	if a.Alive("d") || stranger.Alive("a") {
		t.Error("a node of another authority became a member")
	}

	got := make(chan digest, 100)
	b.OnDigest(func(from spec.NodeID, raw []byte) { got <- digest{from, raw} })
	eventually(t, 30*time.Second, "b has a digest of a", func() bool {
		if err := a.SendDigest("b", []byte("load")); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-got:
			return d.from == "a" && string(d.raw) == "load"
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	if err := c.Leave(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	c.Shutdown()
	see(t, a, "a", "b")
	if _, err := pc.Packets().WriteTo([]byte("x"), pa.Packets().LocalAddr()); err != nil {
		t.Errorf("the port was closed with the gossip: %v", err)
	}
}
