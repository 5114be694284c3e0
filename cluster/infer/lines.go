package infer

import (
	"context"
	"net/http"
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Lines are the ways on which gateways of other nodes tell what waits there, and are
// granted places: a request of each gateway's, whose body and answer go on as long as
// there is something to tell.
type Lines struct {
	mu struct {
		sync.Mutex
		to map[spec.NodeID]*outbox
	}
}

// NewLines returns ways to nobody.
func NewLines() *Lines {
	l := &Lines{}
	l.mu.to = map[spec.NodeID]*outbox{}
	return l
}

// Grant sends the lease to its gateway; false: there is no way there, and it will
// expire. It does not block.
func (l *Lines) Grant(lease spec.Lease) bool {
	l.mu.Lock()
	out := l.mu.to[lease.Gateway]
	l.mu.Unlock()
	return out != nil && out.put(leaseToWire(&lease))
}

// open makes out the way to the node, in place of one that it may have left behind.
func (l *Lines) open(node spec.NodeID, out *outbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before := l.mu.to[node]; before != nil {
		before.end()
	}
	l.mu.to[node] = out
}

func (l *Lines) close(node spec.NodeID, out *outbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.to[node] == out {
		delete(l.mu.to, node)
	}
}

// line takes what a gateway tells and sends it what it is granted.
func (s *server) line(w http.ResponseWriter, r *http.Request) {
	peer, ok := s.admit(w, r)
	if !ok {
		return
	}
	if s.cfg.Lines == nil || s.cfg.Reserve == nil {
		s.fail(w, spec.Errorf(spec.CodeNotFound, "This node grants no places."))
		return
	}
	flush := http.NewResponseController(w)
	w.Header().Set(hdrKind, kindLine)
	w.WriteHeader(http.StatusOK)
	if flush.Flush() != nil {
		return
	}
	out := newOutbox()
	s.cfg.Lines.open(peer, out)
	defer s.cfg.Lines.close(peer, out)
	ctx, cancel := context.WithCancel(r.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel()
		for {
			var m wire.Reservation
			if readMessage(r.Body, &m) != nil {
				return
			}
			device, told := reservationFromWire(&m)
			told.Gateway = peer
			s.cfg.Reserve(device, told)
		}
	})
	defer reading.Wait()
	defer r.Body.Close() // ends the reader
	defer cancel()
	for {
		b := out.take(ctx)
		if b == nil {
			return
		}
		if _, err := w.Write(b); err != nil || flush.Flush() != nil {
			return
		}
	}
}
