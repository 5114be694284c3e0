package actors

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/cluster/spec"
)

// calls are those from outside that wait for an actor.
type calls struct {
	mu     sync.Mutex
	closed bool
	under  sync.WaitGroup
}

// begin lets a call in, bounded by work and, where it has no deadline, in time.
func (c *calls) begin(ctx, work context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, spec.Errorf(spec.CodeDraining, "This node shuts its actors down.")
	}
	c.under.Add(1)
	cancel := context.CancelFunc(func() {})
	if _, bounded := ctx.Deadline(); !bounded {
		ctx, cancel = context.WithTimeout(ctx, commandTimeout)
	}
	ctx, abandon := context.WithCancel(ctx)
	unhook := context.AfterFunc(work, abandon)
	return ctx, func() {
		unhook()
		abandon()
		cancel()
		c.under.Done()
	}, nil
}

// close lets no more calls in, and waits for those under way: their context has ended.
func (c *calls) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.under.Wait()
}

// Shutdown ends the requests under way, the engines (see LeaveEngines), the actors and the
// connections, in this order, and returns when they are gone or ctx ends. Drain
// first to spare requests.
func (s *System) Shutdown(ctx context.Context) error {
	if s.closing.Swap(true) {
		return nil
	}
	began := time.Now()
	s.streams.close()
	s.batches.Close()
	for _, c := range s.answers {
		c.Close()
	}
	s.cancel()
	s.tasks.Wait()
	s.calls.close()
	err := s.stopActors(ctx)
	s.presets.Close()
	if s.link != nil {
		err = errors.Join(err, s.link.stop(ctx))
	}
	s.system.Shutdown()
	s.cfg.Log.Info("actors have ended", "took", time.Since(began), "error", err)
	return err
}

// stopActors stops all at once: each waits for its engines.
func (s *System) stopActors(ctx context.Context) error {
	pids := []*actor.PID{}
	for _, pid := range s.pids {
		pids = append(pids, pid)
	}
	if s.quota != nil {
		pids = append(pids, s.quota)
	}
	failed := make([]error, len(pids))
	var stopping sync.WaitGroup
	for i, pid := range pids {
		if pid != nil {
			stopping.Go(func() { failed[i] = stopActor(ctx, s.system, pid) })
		}
	}
	stopping.Wait()
	return errors.Join(failed...)
}
