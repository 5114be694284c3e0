package actors

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/envelope"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A hostile is a member that speaks the library's protocol by hand.
type hostile struct {
	t    *testing.T
	conn *grpc.ClientConn
}

func (m *mesh) hostile(to *testNode, c tls.Certificate) *hostile {
	m.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+to.cfg.Address, grpc.WithTransportCredentials(credentials.NewTLS(m.client(c))))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = conn.Close() })
	return &hostile{m.t, conn}
}

// send opens a stream, sends the messages and tells how the stream ended; OK: they
// were taken, since only the known breach that follows them ended it.
func (h *hostile) send(messages ...*remote.RemoteMessage) codes.Code {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := remote.NewRemotingClient(h.conn).Receive(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	breach := one(actor.NewPID("x", "y"), &actor.Watch{})
	breach.Envelopes[0].SerializerId = 99
	for _, m := range append(messages, packed(breach)) {
		if err := s.Send(m); err != nil {
			break // Recv tells why
		}
	}
	for {
		if _, err := s.Recv(); err != nil {
			if strings.Contains(err.Error(), "serializer 99") {
				return codes.OK
			}
			return status.Code(err)
		}
	}
}

func hello() *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{SystemId: "x", Address: "127.0.0.1:1"}}}}}
}

// one is a batch of one message.
func one(to *actor.PID, m proto.Message) *remote.MessageBatch {
	raw, _ := proto.Marshal(m)
	return &remote.MessageBatch{TypeNames: []string{string(proto.MessageName(m))}, Targets: []*actor.PID{to},
		Envelopes: []*remote.MessageEnvelope{{MessageData: raw}}}
}

func packed(b *remote.MessageBatch) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}}
}

// TestHostileMember: whatever a member sends by hand, the node and its actors live,
// and nothing that the role does not allow has happened.
func TestHostileMember(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	victim := m.start("victim", everything)
	m.setAddress("worker", "127.0.0.1:1")
	h := m.hostile(victim, m.certificate("worker", spec.RoleWorker))
	target := func() *actor.PID { return actor.NewPID(victim.cfg.Address, string(deviceOf(victim, 0))) }
	bent := func(change func(*remote.MessageBatch)) *remote.MessageBatch {
		e, _ := envelope.Pack(&wire.Describe{}, "worker", time.Time{}, nil)
		b := one(target(), e)
		change(b)
		return b
	}
	load, _ := envelope.Pack(&wire.LoadModel{Instance: "i", Deployment: "d", Engine: "external"}, "victim", time.Time{}, nil)
	cases := []struct {
		name string
		send *remote.RemoteMessage
		want codes.Code
	}{
		{"Stop", packed(one(target(), &actor.Stop{})), codes.PermissionDenied},
		{"PoisonPill", packed(one(target(), &actor.PoisonPill{})), codes.PermissionDenied},
		{"a Raft command", packed(one(target(), &wire.Command{})), codes.PermissionDenied},
		{"a spawn", packed(one(actor.NewPID(victim.cfg.Address, "activator"), &remote.ActorPidRequest{Kind: "x"})), codes.PermissionDenied},
		{"an unknown type", packed(bent(func(b *remote.MessageBatch) { b.TypeNames[0] = "no.Such" })), codes.PermissionDenied},
		{"a target out of range", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].Target = 9 })), codes.PermissionDenied},
		{"a negative target", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].Target = -1 })), codes.PermissionDenied},
		{"a type out of range", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].TypeId = 1 })), codes.PermissionDenied},
		{"a sender out of range", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].Sender = 1 })), codes.PermissionDenied},
		{"a negative sender", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].Sender = -5 })), codes.PermissionDenied},
		{"another serializer", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].SerializerId = 1 })), codes.PermissionDenied},
		{"no serializer", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].SerializerId = 77 })), codes.PermissionDenied},
		{"a damaged envelope", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].MessageData = []byte{0xff} })), codes.PermissionDenied},
		{"a huge envelope", packed(bent(func(b *remote.MessageBatch) { b.Envelopes[0].MessageData = make([]byte, 3*envelope.MaxPayload) })), codes.PermissionDenied},
		{"an empty message", &remote.RemoteMessage{}, codes.PermissionDenied},
		{"an empty connection", &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{}}}, codes.PermissionDenied},
		{"a command in a voter's name", packed(one(target(), load)), codes.OK},
		{"a message to a guardian", packed(one(actor.NewPID(victim.cfg.Address, "guardian$1"), load)), codes.OK},
		{"a watch by nobody", packed(one(target(), &actor.Watch{})), codes.OK},
		{"a watch by another's process", packed(one(target(), &actor.Watch{Watcher: actor.NewPID("127.0.0.1:2", "x")})), codes.OK},
		{"the end of another's process", packed(one(target(), &actor.Terminated{Who: actor.NewPID(victim.cfg.Address, string(deviceOf(victim, 0))+"/$1")})), codes.OK},
		{"the end of nobody", packed(one(target(), &actor.Terminated{})), codes.OK},
		{"its own watch", packed(one(target(), &actor.Watch{Watcher: actor.NewPID("127.0.0.1:1", "x")})), codes.OK},
	}
	for _, c := range cases {
		if got := h.send(hello(), c.send); got != c.want {
			t.Errorf("%s: the stream ended with %s, want %s", c.name, got, c.want)
		}
	}
	for i := range victim.Devices() {
		ack, err := victim.Command(within(t, 30*time.Second), "victim", deviceOf(victim, i), &wire.Describe{})
		mustCode(t, ack, err, "")
		if len(ack.Load.Instances) != 0 || ack.Load.Draining {
			t.Errorf("a worker changed the device: %v", ack.Load)
		}
	}
	if got := gathered(t, victim, "lotabots_actor_restarts_total"); got != 0 {
		t.Errorf("%v actors panicked", got)
	}
	if got := gathered(t, victim, "lotabots_actor_refused_messages_total"); got < float64(len(cases)-2) {
		t.Errorf("%v refusals counted for %d messages", got, len(cases))
	}
}

func gathered(t *testing.T, n *testNode, name string) (sum float64) {
	t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestUnaryCallsAreRefused(t *testing.T) {
	m := newMesh(t)
	victim := m.start("victim", everything)
	c := remote.NewRemotingClient(m.hostile(victim, m.certificate("worker", spec.RoleVoter)).conn)
	ctx := within(t, 30*time.Second)
	if _, err := c.ListProcesses(ctx, &remote.ListProcessesRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("ListProcesses: %v", err)
	}
	if _, err := c.GetProcessDiagnostics(ctx, &remote.GetProcessDiagnosticsRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("GetProcessDiagnostics: %v", err)
	}
	ack, err := victim.Command(ctx, "victim", deviceOf(victim, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
}

// TestNoRelay: a member cannot have another node, a voter, send a command on in
// that node's own name.
func TestNoRelay(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	voter, worker := m.start("voter", everything), m.start("worker", []spec.Role{spec.RoleWorker})
	ack, err := voter.Command(within(t, 30*time.Second), "worker", deviceOf(worker, 0), &wire.Describe{}) // they know each other
	mustCode(t, ack, err, "")
	m.setAddress("evil", "127.0.0.1:1")
	h := m.hostile(voter, m.certificate("evil", spec.RoleWorker))
	// What every member may send; the relaying node would vouch for it.
	describe, _ := envelope.Pack(&wire.Describe{}, "voter", time.Time{}, nil)
	before := gathered(t, worker, "lotabots_actor_commands_total")
	h.send(hello(), packed(one(actor.NewPID(worker.cfg.Address, string(deviceOf(worker, 0))), describe)))
	// What was relayed would arrive before this, on the same connection.
	ack, err = voter.Command(within(t, 30*time.Second), "worker", deviceOf(worker, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
	if got := gathered(t, worker, "lotabots_actor_commands_total"); got != before+1 {
		t.Errorf("%v commands arrived by way of the voter", got-before-1)
	}
}

// TestStrangersGetNothing: without a certificate of the authority's there is no
// handshake, whether by the cluster port or on the loopback address behind it.
func TestStrangersGetNothing(t *testing.T) {
	m, other := newMesh(t), newMesh(t)
	victim := m.start("victim", everything)
	for _, address := range []string{victim.cfg.Address, victim.link.loopback} {
		for name, c := range map[string]*tls.Config{
			"another cluster's": other.client(other.certificate("victim", everything...)),
			"none":              {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
		} {
			conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(c)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = remote.NewRemotingClient(conn).ListProcesses(within(t, 30*time.Second), &remote.ListProcessesRequest{})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("certificate %s at %s: %v", name, address, err)
			}
			_ = conn.Close()
		}
	}
}

// FuzzInspect: no message that the guard lets through can make the library panic
// or reach what it should not.
func FuzzInspect(f *testing.F) {
	e, _ := envelope.Pack(&wire.LoadModel{Instance: "i"}, "n", time.Time{}, nil)
	for _, m := range []*remote.RemoteMessage{hello(), packed(one(actor.NewPID("a", "gpu/1"), e)), packed(one(actor.NewPID("a", "gpu/1"), &actor.Watch{Watcher: actor.NewPID("peer:1", "x")}))} {
		raw, _ := proto.Marshal(m)
		f.Add(raw)
	}
	g := testGuard()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m remote.RemoteMessage
		if proto.Unmarshal(raw, &m) != nil || g.inspect(member{id: "peer", roles: []spec.Role{spec.RoleWorker}}, &m) != nil {
			return
		}
		b := m.GetMessageBatch()
		for _, e := range b.GetEnvelopes() {
			to := b.Targets[e.Target]
			if to.Address != "self:1" || to.Id != "gpu/1" && to.Id != nobody && !strings.HasPrefix(to.Id, answerPart) {
				t.Errorf("target %v", to)
			}
			if e.Sender > 0 && b.Senders[e.Sender-1].Address != "peer:1" {
				t.Errorf("sender %v", b.Senders[e.Sender-1])
			}
			message, err := remote.Deserialize(e.MessageData, b.TypeNames[e.TypeId], e.SerializerId)
			if err != nil {
				t.Errorf("the library cannot read it: %v", err)
			}
			if inner, ok := message.(*wire.Envelope); ok && (inner.Origin != "peer" || envelope.VotersOnly(inner.Kind)) {
				t.Errorf("a worker's %s of origin %s", inner.Kind, inner.Origin)
			}
		}
	})
}

func testGuard() *guard {
	return &guard{self: "self:1", devices: map[string]bool{"gpu/1": true},
		address: func(id spec.NodeID) (string, bool) { return string(id) + ":1", id == "peer" },
		met:     func(spec.NodeID, string) {}, refused: newMetrics(nil).refused, log: discard()}
}
