package join

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func renewed(m *member, voters ...spec.NodeID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return Renew(ctx, m.port.Client("state"), voters, m.identity)
}

func TestRenewing(t *testing.T) {
	w := newWorld(t)
	m := w.join("w1", spec.RoleWorker, "worker", "gateway")
	w.state.setState("w1", wire.NodeState_NODE_STATE_DRAINING)
	was := m.identity.Leaf()
	w.pass(30 * time.Minute)
	if err := renewed(m, "nobody", "v1"); err != nil {
		t.Fatal(err)
	}
	leaf := m.identity.Leaf()
	if !leaf.NotAfter.After(was.NotAfter) || !slices.Equal(leaf.Subject.OrganizationalUnit, was.Subject.OrganizationalUnit) || leaf.Subject.CommonName != "w1" {
		t.Errorf("got %v until %v", leaf.Subject, leaf.NotAfter)
	}
	n, _ := w.state.Node("w1")
	if n.CertSerial != leaf.SerialNumber.Text(16) || n.CertExpiresMs != leaf.NotAfter.UnixMilli() || n.State != wire.NodeState_NODE_STATE_DRAINING {
		t.Errorf("the record: %v", n)
	}
	if again, err := pki.OpenIdentity(m.dir); err != nil || !again.Leaf().Equal(leaf) {
		t.Errorf("on disk: %v", err)
	}
}

// TestAClusterThatSleptStartsAgain has every certificate expired for two years.
func TestAClusterThatSleptStartsAgain(t *testing.T) {
	w := newWorld(t)
	all := []*member{w.members["v1"], w.join("v2", spec.RoleVoter, "voter"), w.join("w1", spec.RoleWorker, "worker")}
	w.pass(2 * 365 * 24 * time.Hour)
	for _, m := range all {
		m.port.Drop("v1") // as after a restart
		m.port.Drop("v2")
		s, err := pki.Verify(m.identity.Leaf(), w.authority.Cert, w.clock())
		if err != nil || !s.Expired {
			t.Fatalf("%s: %+v, %v", m.id, s, err)
		}
		if err := renewed(m, "v2", "v1"); err != nil { // v2 asks itself first
			t.Errorf("%s: %v", m.id, err)
		}
		if s, err := pki.Verify(m.identity.Leaf(), w.authority.Cert, w.clock()); err != nil || s.Expired {
			t.Errorf("%s afterwards: %+v, %v", m.id, s, err)
		}
	}
}

func TestARemovedNodeIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	m := w.join("w1", spec.RoleWorker, "worker")
	was := m.identity.Leaf()
	w.state.setState("w1", wire.NodeState_NODE_STATE_REMOVED)
	if err := renewed(m, "v1"); err == nil {
		t.Error("renewed over the port")
	}
	csr, err := m.identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(w.config(w.members["v1"]))
	_, err = s.renewFor(t.Context(), "w1", []spec.Role{spec.RoleWorker}, &wire.JoinRequest{Csr: csr})
	if spec.CodeOf(err) != spec.CodeNodeRemoved {
		t.Errorf("renewed by the server: %v", err)
	}
	if m.identity.Leaf() != was {
		t.Error("it has another certificate")
	}
}

// TestTheOldMachineIsNotRenewed has a node's id given to another machine.
func TestTheOldMachineIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	old := w.join("w1", spec.RoleWorker, "worker")
	w.state.setState("w1", wire.NodeState_NODE_STATE_REMOVED)
	if resp, err := w.ask(w.newcomer("w1"), "v1", w.token(spec.RoleWorker, 1), "worker"); err != nil || resp.Code != "" {
		t.Fatalf("%v %s", err, resp.GetMessage())
	}
	var refusal *spec.Error
	if err := renewed(old, "v1"); !errors.As(err, &refusal) || refusal.Code != spec.CodeForbidden {
		t.Errorf("the old machine: %v", err)
	}
}

// TestRenewingGivesNoNewRole though the record says that the node has it.
func TestRenewingGivesNoNewRole(t *testing.T) {
	w := newWorld(t)
	m := w.join("w1", spec.RoleWorker, "worker", "gateway")
	record, _ := w.state.Node("w1")
	next := proto.CloneOf(record)
	next.Roles = []string{"voter", "worker"} // more of one, less of the other
	w.state.mu.Lock()
	w.state.nodes["w1"] = next
	w.state.mu.Unlock()
	if err := renewed(m, "v1"); err != nil {
		t.Fatal(err)
	}
	if got := m.identity.Leaf().Subject.OrganizationalUnit; !slices.Equal(got, []string{"worker"}) {
		t.Errorf("the certificate gives %v", got)
	}
	if sealed, _ := w.state.Secret("ca"); pki.SealedTo(sealed, "w1") {
		t.Error("the authority's key is sealed to a worker")
	}
}

// TestAVoterWithoutAWrapGetsOne at its next renewal.
func TestAVoterWithoutAWrapGetsOne(t *testing.T) {
	w := newWorld(t)
	m := w.join("v2", spec.RoleVoter, "voter")
	sealed, _ := w.state.Secret("ca")
	w.state.mu.Lock()
	w.state.secrets["ca"] = pki.RemoveRecipients(sealed, "v2")
	w.state.mu.Unlock()
	if err := renewed(m, "v2"); spec.CodeOf(errorOf(err)) != spec.CodeNotReady {
		t.Errorf("a voter that cannot open the key signs: %v", err)
	}
	if err := renewed(m, "v2", "v1"); err != nil {
		t.Fatal(err)
	}
	if sealed, _ = w.state.Secret("ca"); !pki.SealedTo(sealed, "v2") {
		t.Fatal("it has none")
	}
	if _, err := m.identity.OpenSecret(sealed, "v2"); err != nil {
		t.Error(err)
	}
	if err := renewed(m, "v2"); err != nil {
		t.Errorf("now it signs for itself: %v", err)
	}
}

func errorOf(err error) error {
	var public *spec.Error
	if errors.As(err, &public) {
		return public
	}
	return err
}
