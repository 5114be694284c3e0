package actors

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func deviceOf(n *testNode, i int) spec.DeviceID { return n.Devices()[i] }

func TestCommandsReachDevicesOfOtherNodes(t *testing.T) {
	m := newMesh(t)
	a, b := m.start("a", everything), m.start("b", []spec.Role{spec.RoleWorker})
	for range 3 {
		ack, err := a.Command(within(t, 30*time.Second), "b", deviceOf(b, 1), &wire.Describe{})
		mustCode(t, ack, err, "")
		if ack.Load.Device != string(deviceOf(b, 1)) || ack.Load.Kind != "simulated" || ack.Load.MemoryTotal != 1000<<20 {
			t.Fatalf("load %v", ack.Load)
		}
	}
	ack, err := a.Command(within(t, 30*time.Second), "b", deviceOf(b, 0), &wire.Drain{Reason: "test"})
	mustCode(t, ack, err, "")
	if !ack.Load.Draining {
		t.Error("it does not drain")
	}
	ack, err = a.Command(within(t, 30*time.Second), "a", deviceOf(a, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
	if ack.Load.Device != string(deviceOf(a, 0)) {
		t.Errorf("own device: %v", ack.Load)
	}
}

// TestOnlyVotersCommand: a worker may ask a device of another node how it is, not
// change it.
func TestOnlyVotersCommand(t *testing.T) {
	m := newMesh(t)
	a, b := m.start("a", everything), m.start("b", []spec.Role{spec.RoleWorker})
	ctx := within(t, 30*time.Second)
	ack, err := b.Command(ctx, "a", deviceOf(a, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
	ack, err = b.Command(ctx, "a", deviceOf(a, 0), &wire.Drain{})
	mustCode(t, ack, err, spec.CodeForbidden)
	ack, err = b.Command(ctx, "a", deviceOf(a, 0), &wire.LoadModel{Instance: "i", Deployment: "d"})
	mustCode(t, ack, err, spec.CodeForbidden)
	if ack.Load.Draining || len(ack.Load.Instances) != 0 {
		t.Errorf("a worker changed the device: %v", ack.Load)
	}
}

// TestRolesOfTheStateCount: a certificate that still says voter is not enough.
func TestRolesOfTheStateCount(t *testing.T) {
	m := newMesh(t)
	a := m.start("a", everything)
	b := m.start("b", everything, func(c *Config) {
		c.PeerRoles = func(spec.NodeID) []spec.Role { return []spec.Role{spec.RoleWorker} }
	})
	ack, err := a.Command(within(t, 30*time.Second), "b", deviceOf(b, 0), &wire.Drain{})
	mustCode(t, ack, err, spec.CodeForbidden)
}

func TestUnknownTargetsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.start("a", everything), m.start("b", everything)
	began := time.Now()
	for _, c := range []struct{ node, device string }{{"b", "gpu/none"}, {"a", "gpu/none"}, {"c", "gpu/none"}, {"b", "quota"}, {"b", "activator"}, {"b", string(deviceOf(b, 0)) + "/$1"}} {
		_, err := a.Command(within(t, 30*time.Second), spec.NodeID(c.node), spec.DeviceID(c.device), &wire.Describe{})
		if err == nil || spec.CodeOf(err) != spec.CodeNotFound {
			t.Errorf("%v: %v", c, err)
		}
	}
	if took := time.Since(began); took > 25*time.Second { // an answer that is lost takes 30 s
		t.Errorf("took %s", took)
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a := m.start("a", everything)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m.setAddress("frozen", silent.Addr().String())
	began := time.Now()
	_, err = a.Command(within(t, 200*time.Millisecond), "frozen", "gpu/x", &wire.Describe{})
	if err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// TestFrozenPeerDelaysNobody: a peer that takes the connection and then says
// nothing, as a stopped process does, is let go of when its death is told.
func TestFrozenPeerDelaysNobody(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a := m.start("a", everything)
	frozen := newPort(t, "127.0.0.1:0")
	behind, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes connections that nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	frozen.splice(behind.Addr().String())
	m.setAddress("b", frozen.listener.Addr().String())
	if _, err := a.Command(within(t, 300*time.Millisecond), "b", "gpu/x", &wire.Describe{}); err == nil {
		t.Fatal("nobody answered well")
	}
	began := time.Now()
	a.MemberDown("b")
	a.stop() // waits for the connection that was being made
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("shutdown took %s", took)
	}
	frozen.cut()
}

// TestImpostorIsNotBelieved: another member behind a node's address gets no commands.
func TestImpostorIsNotBelieved(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.start("a", everything), m.start("b", everything)
	address, _ := m.address("b")
	m.setAddress("c", address) // where b answers
	_, err := a.Command(within(t, 15*time.Second), "c", deviceOf(b, 0), &wire.Describe{})
	if err == nil {
		t.Error("b answered as c")
	}
}

// TestReconnects: a node that comes back under its address is reached again, once
// its death has been told.
func TestReconnects(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.start("a", everything), m.start("b", everything)
	ack, err := a.Command(within(t, 30*time.Second), "b", deviceOf(b, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
	b.port.cut() // as kill -9 does
	a.MemberDown("b")
	b.stop()
	if _, err := a.Command(within(t, time.Second), "b", deviceOf(b, 0), &wire.Describe{}); err == nil {
		t.Fatal("a dead node answered")
	}
	a.MemberDown("b")
	again := m.start("b", everything)
	await(t, "b is reached again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ack, err := a.Command(ctx, "b", deviceOf(again, 0), &wire.Describe{})
		return err == nil && ack.Code == ""
	})
}

func TestNodeWithoutDevicesCommands(t *testing.T) {
	m := newMesh(t)
	a := m.start("a", everything, func(c *Config) { c.Devices = Devices{Kind: "none"} })
	b := m.start("b", []spec.Role{spec.RoleWorker})
	ack, err := a.Command(within(t, 30*time.Second), "b", deviceOf(b, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
	if len(a.Devices()) != 0 {
		t.Errorf("devices %v", a.Devices())
	}
	g, err := a.Quota(within(t, 30*time.Second), &wire.QuotaRequest{Limit: "l", PerMinute: 10, Want: 4})
	if err != nil || g.Granted != 4 {
		t.Errorf("quota %v, %v", g, err)
	}
	if _, err := a.Opener().Open(t.Context(), spec.Target{Device: "gpu/x"}, spec.Call{}, nil); err == nil {
		t.Error("a node without devices served")
	}
}

func TestAfterShutdownNothingIsLetIn(t *testing.T) {
	m := newMesh(t)
	a := m.start("a", everything)
	id := deviceOf(a, 0)
	a.stop()
	if _, err := a.Command(t.Context(), "a", id, &wire.Describe{}); spec.CodeOf(err) != spec.CodeDraining {
		t.Errorf("command: %v", err)
	}
	if _, err := a.Quota(t.Context(), &wire.QuotaRequest{}); err == nil {
		t.Error("quota was granted")
	}
	_, err := a.Opener().Open(t.Context(), spec.Target{Device: id}, spec.Call{}, nil)
	var r *spec.Rejection
	if !errors.As(err, &r) || r.Reason != spec.RejectDraining {
		t.Errorf("open: %v", err)
	}
	a.stop() // again does nothing
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	if _, err := Start(Config{Node: "BAD"}); err == nil {
		t.Error("a bad node id was taken")
	}
	if _, err := Start(Config{Node: "a"}); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("%v", err)
	}
	m := newMesh(t)
	own := m.certificate("a")
	_, err := Start(Config{Node: "a", Address: "127.0.0.1:1", ServerTLS: m.server(own), ClientTLS: nil})
	if err == nil {
		t.Error("no TLS, and it started")
	}
}
