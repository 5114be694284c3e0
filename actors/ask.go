package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/envelope"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An answer is a process that waits for one message. The library's futures know
// no context and race with answers that come late.
type answer chan any

var _ actor.Process = answer(nil)

func (a answer) SendUserMessage(_ *actor.PID, message any) {
	_, m, _ := actor.UnwrapEnvelope(message)
	select {
	case a <- m:
	default: // the first one counts
	}
}

func (a answer) SendSystemMessage(_ *actor.PID, message any) {
	if m, ok := message.(*actor.Terminated); ok {
		a.SendUserMessage(nil, m)
	}
}

func (answer) Stop(*actor.PID) {}

// expect registers an answer. forget ends it.
func expect(s *actor.ActorSystem) (a answer, pid *actor.PID, forget func()) {
	a = make(answer, 1)
	for {
		pid, fresh := s.ProcessRegistry.Add(a, answerPart+s.ProcessRegistry.NextId())
		if fresh {
			return a, pid, func() { s.ProcessRegistry.Remove(pid) }
		}
	}
}

// ask sends m to a device's actor and waits for its Ack until ctx ends.
func (s *System) ask(ctx context.Context, node spec.NodeID, to *actor.PID, m proto.Message) (*wire.Ack, error) {
	deadline, _ := ctx.Deadline()
	e, err := envelope.Pack(m, s.cfg.Node, deadline, traceHeaders(ctx))
	if err != nil {
		return nil, err
	}
	a, pid, forget := expect(s.system)
	defer forget()
	s.system.Root.RequestWithCustomSender(to, e, pid)
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("device %s of node %s has not answered: %w", to.GetId(), node, ctx.Err())
	case got := <-a:
		return opened(got, node, to.GetId())
	}
}

// opened reads the answer of a device of node.
func opened(got any, node spec.NodeID, device string) (*wire.Ack, error) {
	switch got := got.(type) {
	case *actor.DeadLetterResponse:
		return nil, spec.Errorf(spec.CodeNotFound, "Node %s cannot be reached or has no device %s.", node, device)
	case *wire.Envelope:
		if got.GetOrigin() != string(node) {
			return nil, fmt.Errorf("node %s answered in the name of %s", got.GetOrigin(), node)
		}
		m, err := envelope.Open(got, time.Now())
		if err != nil {
			return nil, err
		}
		if ack, ok := m.(*wire.Ack); ok {
			return ack, nil
		}
	}
	return nil, fmt.Errorf("device %s of node %s answered with a %T", device, node, got)
}

// stopActor stops an actor with its children and waits until they are gone.
func stopActor(ctx context.Context, s *actor.ActorSystem, pid *actor.PID) error {
	a, watcher, forget := expect(s)
	defer forget()
	if process, ok := s.ProcessRegistry.GetLocal(pid.GetId()); ok {
		process.SendSystemMessage(pid, &actor.Watch{Watcher: watcher})
		process.Stop(pid)
	} else {
		return nil
	}
	select {
	case <-a:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("actor %s has not stopped: %w", pid.GetId(), ctx.Err())
	}
}
