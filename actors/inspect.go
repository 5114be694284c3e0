package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/envelope"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Names of the types that may cross, as protobuf has them.
var (
	typeEnvelope   = string(proto.MessageName((*wire.Envelope)(nil)))
	typeWatch      = string(proto.MessageName((*actor.Watch)(nil)))
	typeUnwatch    = string(proto.MessageName((*actor.Unwatch)(nil)))
	typeTerminated = string(proto.MessageName((*actor.Terminated)(nil)))
	typeDeadLetter = string(proto.MessageName((*actor.DeadLetterResponse)(nil))) // nobody has the name that was asked
)

const (
	maxBatch   = 4096
	maxPID     = 256 // bytes of a process's name
	nobody     = "nobody"
	answerPart = "answer/" // names of processes that wait for an Ack begin so
)

// errNothingLeft says that all messages of a batch were dropped.
var errNothingLeft = errors.New("nothing of the batch is left")

// inspect checks what m sent and rewrites it. An error that is not errNothingLeft
// is a breach of the protocol.
func (g *guard) inspect(m member, message *remote.RemoteMessage) error {
	switch t := message.GetMessageType().(type) {
	case *remote.RemoteMessage_ConnectRequest:
		if t.ConnectRequest.GetServerConnection() == nil {
			return errors.New("a connection must say that it is a server's")
		}
		return nil
	case *remote.RemoteMessage_MessageBatch:
		return g.inspectBatch(m, t.MessageBatch)
	}
	return fmt.Errorf("a %T is not for this side", message.GetMessageType())
}

func (g *guard) inspectBatch(m member, b *remote.MessageBatch) error {
	if n := len(b.GetEnvelopes()); n > maxBatch || len(b.GetTargets()) > maxBatch || len(b.GetSenders()) > maxBatch || len(b.GetTypeNames()) > maxBatch {
		return fmt.Errorf("a batch of %d messages is over the limit of %d", n, maxBatch)
	}
	// Whatever was claimed: messages are for this node, and are answered where the
	// state says that the certificate's owner is.
	for _, target := range b.GetTargets() {
		if target == nil {
			return errors.New("a target is missing")
		}
		target.Address = g.self
		if !g.devices[target.GetId()] && !strings.HasPrefix(target.GetId(), answerPart) {
			target.Id = nobody
		}
	}
	address, known := g.address(m.id)
	for _, sender := range b.GetSenders() {
		if sender == nil || len(sender.GetId()) > maxPID {
			return errors.New("a sender is missing or has a long name")
		}
		sender.Address = address
	}
	if known {
		g.met(m.id, address)
	}
	var breach error
	b.Envelopes = slices.DeleteFunc(b.Envelopes, func(e *remote.MessageEnvelope) bool {
		keep, err := g.inspectOne(m, b, e, address, known)
		breach = errors.Join(breach, err)
		return !keep
	})
	if breach == nil && len(b.Envelopes) == 0 {
		return errNothingLeft
	}
	return breach
}

// inspectOne tells whether the message may pass.
func (g *guard) inspectOne(m member, b *remote.MessageBatch, e *remote.MessageEnvelope, address string, known bool) (bool, error) {
	switch {
	case e.GetTarget() < 0 || int(e.GetTarget()) >= len(b.GetTargets()):
		return false, fmt.Errorf("target %d of %d", e.GetTarget(), len(b.GetTargets()))
	case e.GetSender() < 0 || int(e.GetSender()) > len(b.GetSenders()):
		return false, fmt.Errorf("sender %d of %d", e.GetSender(), len(b.GetSenders()))
	case e.GetTypeId() < 0 || int(e.GetTypeId()) >= len(b.GetTypeNames()):
		return false, fmt.Errorf("type %d of %d", e.GetTypeId(), len(b.GetTypeNames()))
	case e.GetSerializerId() != 0:
		return false, fmt.Errorf("serializer %d", e.GetSerializerId())
	}
	e.MessageHeader = nil
	answering := strings.HasPrefix(b.GetTargets()[e.GetTarget()].GetId(), answerPart)
	if !known { // it could not be answered, and its own word for where it is does not count
		return g.drop(m, "unknown_address")
	}
	switch name := b.GetTypeNames()[e.GetTypeId()]; name {
	case typeEnvelope:
		return g.inspectEnvelope(m, e, answering)
	case typeDeadLetter:
		if !answering {
			return g.drop(m, "astray")
		}
		return true, nil
	case typeWatch, typeUnwatch, typeTerminated:
		return g.inspectWatch(m, e, name, address)
	default:
		return false, fmt.Errorf("a message of type %.60q", name)
	}
}

func (g *guard) drop(m member, why string) (bool, error) {
	g.refused.WithLabelValues(why).Inc()
	g.log.Warn("a message of another node was dropped", "peer", m.id, "reason", why)
	return false, nil
}

// inspectEnvelope stamps the envelope with who sent it.
func (g *guard) inspectEnvelope(m member, e *remote.MessageEnvelope, answering bool) (bool, error) {
	if len(e.GetMessageData()) > 2*envelope.MaxPayload {
		return false, fmt.Errorf("an envelope of %d bytes", len(e.GetMessageData()))
	}
	var inner wire.Envelope
	if err := proto.Unmarshal(e.GetMessageData(), &inner); err != nil {
		return false, fmt.Errorf("an envelope that cannot be read: %w", err)
	}
	if answering != (inner.GetKind() == envelope.Ack) {
		return g.drop(m, "astray")
	}
	if envelope.VotersOnly(inner.GetKind()) && !g.voter(m) {
		g.refused.WithLabelValues("role").Inc()
		g.log.Warn("a command of a node that is no voter was refused", "peer", m.id, "kind", inner.GetKind())
		inner.Kind, inner.Payload = envelope.Refused, nil
	}
	inner.Origin = string(m.id)
	raw, err := proto.Marshal(&inner)
	if err != nil {
		return false, fmt.Errorf("an envelope that cannot be written: %w", err)
	}
	e.MessageData = raw
	return true, nil
}

// inspectWatch lets a peer watch for its own processes, and tell of their end.
func (g *guard) inspectWatch(m member, e *remote.MessageEnvelope, name, address string) (bool, error) {
	who, err := concerned(e, name)
	if err != nil {
		return false, fmt.Errorf("a message of type %s that cannot be read: %w", name, err)
	}
	if who == nil || who.GetAddress() != address || len(who.GetId()) > maxPID {
		return g.drop(m, "watcher")
	}
	return true, nil
}

// concerned is the process that a watch, or the end of one, is about: the peer's.
func concerned(e *remote.MessageEnvelope, name string) (*actor.PID, error) {
	raw := e.GetMessageData()
	switch name {
	case typeWatch:
		m := new(actor.Watch)
		err := proto.Unmarshal(raw, m)
		return m.Watcher, err
	case typeUnwatch:
		m := new(actor.Unwatch)
		err := proto.Unmarshal(raw, m)
		return m.Watcher, err
	default:
		m := new(actor.Terminated)
		err := proto.Unmarshal(raw, m)
		return m.Who, err
	}
}
