package infer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Talk tells actors on other nodes what waits at this node's gateway, and takes what
// they grant. It has a line to each node that there is something to tell; one that
// breaks is made anew, and what was under way on it is lost: reservations are renewed
// and leases expire.
type Talk struct {
	client  *Client
	granted func(spec.NodeID, spec.Lease)
	life    context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	mu      struct {
		sync.Mutex
		to     map[spec.NodeID]*outbox
		closed bool
	}
}

const (
	lineIdle  = 30 * time.Second       // for which a line stays that nothing is told on
	lineAgain = 500 * time.Millisecond // for which a node is left alone whose line broke
)

// Talk begins to talk. granted takes the leases of a node; calls of one node come one
// after the other.
func (c *Client) Talk(granted func(spec.NodeID, spec.Lease)) *Talk {
	t := &Talk{client: c, granted: granted}
	t.life, t.cancel = context.WithCancel(context.Background())
	t.mu.to = map[spec.NodeID]*outbox{}
	return t
}

// Reserve tells the actor of the target's instance. It does not block: what cannot be
// told is lost.
func (t *Talk) Reserve(target spec.Target, r spec.Reservation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return
	}
	out := t.mu.to[target.Node]
	if out == nil {
		out = newOutbox()
		t.mu.to[target.Node] = out
		t.tasks.Go(func() { t.run(target.Node, out) })
	}
	out.put(reservationToWire(target, &r))
}

// Shutdown ends all lines and waits for them.
func (t *Talk) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	t.mu.closed = true
	t.mu.Unlock()
	t.cancel()
	done := make(chan struct{})
	go func() { t.tasks.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run keeps the line to a node until there is nothing to tell for long, or it breaks.
func (t *Talk) run(node spec.NodeID, out *outbox) {
	err := t.line(node, out)
	if err != nil {
		select { // what comes meanwhile is lost
		case <-t.life.Done():
		case <-time.After(lineAgain):
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.to, node)
}

// line carries what comes into out to the node, and its leases back. nil: there was
// nothing to tell for long.
func (t *Talk) line(node spec.NodeID, out *outbox) error {
	ctx, cancel := context.WithCancel(t.life)
	defer cancel()
	from, to := io.Pipe()
	defer to.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(node)+"/infer/line", from)
	if err != nil {
		return err
	}
	resp, err := t.client.http.Do(req)
	if err != nil {
		return err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer resp.Body.Close() // ends the reader: as long as a request's body is not at its end, its context alone does not
	defer to.Close()
	if resp.Header.Get(hdrKind) != kindLine {
		return fmt.Errorf("node %s has no line: %s", node, resp.Status)
	}
	broken := make(chan error, 1)
	reading.Go(func() { broken <- t.read(node, resp.Body); cancel() })
	for {
		quiet, stop := context.WithTimeout(ctx, lineIdle)
		b := out.take(quiet)
		idle := quiet.Err() == context.DeadlineExceeded
		stop()
		switch {
		case b != nil:
			if _, err := to.Write(b); err != nil {
				return err
			}
		case idle:
			return nil
		default:
			select {
			case err := <-broken:
				return err
			default:
				return ctx.Err()
			}
		}
	}
}

func (t *Talk) read(node spec.NodeID, body io.Reader) error {
	for {
		var m wire.Lease
		if err := readMessage(body, &m); err != nil {
			return err
		}
		t.granted(node, leaseFromWire(&m, time.Now()))
	}
}
