package quota

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Local is an actor of limits in an actor system of its own: for tests and
// benchmarks, which have many in one process.
type Local struct {
	system *actor.ActorSystem
	pid    *actor.PID
}

// StartLocal starts one; Stop ends it.
func StartLocal(c Config) *Local {
	s := actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(10*time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	return &Local{s, s.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return New(c) }))}
}

// Ask has the actor answer.
func (l *Local) Ask(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	reply := make(chan *wire.QuotaGrant, 1)
	l.system.Root.Send(l.pid, &Ask{Request: r, Reply: reply})
	return answered(ctx, reply)
}

// Collect has the actor tell what has changed; Reply is set here.
func (l *Local) Collect(ctx context.Context, m Collect) ([]*wire.QuotaState, error) {
	reply := make(chan []*wire.QuotaState, 1)
	m.Reply = reply
	l.system.Root.Send(l.pid, &m)
	return answered(ctx, reply)
}

func answered[T any](ctx context.Context, reply <-chan T) (out T, err error) {
	select {
	case out = <-reply:
		return out, nil
	case <-ctx.Done():
		return out, fmt.Errorf("the actor of limits has not answered: %w", ctx.Err())
	}
}

// Stop ends the actor. Nobody is answered any more.
func (l *Local) Stop() {
	_ = l.system.Root.StopFuture(l.pid).Wait()
	l.system.Shutdown()
}
