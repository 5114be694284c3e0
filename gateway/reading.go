package gateway

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Headers by which reads of the state tell, and choose, how new they are.
const (
	// HeaderStateIndex is the index of the state that an answer was made from.
	// A request that carries one is answered from that state or a newer one.
	HeaderStateIndex = "X-LotaBots-State-Index"
	// HeaderStateAge is how long ago, in milliseconds, that state was known to be
	// the newest, at most: 9223372036854 where it never was.
	HeaderStateAge = "X-LotaBots-State-Age"
	// HeaderConsistency is "local" or "linearizable". The query parameter
	// "consistency" says the same.
	HeaderConsistency = "X-LotaBots-Consistency"
)

const catchUp = 2 * time.Second // that an answer waits for this node's copy of the state

// admin serves an operation of the admin API: from a state no older than the
// request asks for, and with headers that say how old it is. A read is refused
// where this node's copy of the state is known to be wrong.
func (g *Gateway) admin(op operation) operation {
	return g.told(func(r *request) error {
		if r.ctx.IsGet() || r.ctx.IsHead() {
			if err := g.cfg.Sound(); err != nil {
				return err
			}
		}
		return op(r)
	})
}

// told is admin for what is worth to read from a wrong copy too.
func (g *Gateway) told(op operation) operation {
	return func(r *request) error {
		r.tellState(g.cfg.State.Age()) // for the refusals, too
		if err := r.awaitIndex(); err != nil {
			return err
		}
		age, err := r.linearize()
		if err != nil {
			return err
		}
		r.tellState(age) // before the state is read: it is as new as that, or newer
		return op(r)
	}
}

func (r *request) tellState(age time.Duration) {
	h := &r.ctx.Response.Header
	h.Set(HeaderStateIndex, itoa(int64(r.g.cfg.State.Index())))
	h.Set(HeaderStateAge, itoa(age.Milliseconds()))
}

// awaitIndex waits for the state that the client has seen.
func (r *request) awaitIndex() error {
	arg := r.ctx.Request.Header.Peek(HeaderStateIndex)
	if len(arg) == 0 {
		return nil
	}
	index, ok := parseIndex(arg)
	if !ok {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: HeaderStateIndex, Message: HeaderStateIndex + " must be a number."}
	}
	if !r.g.await(catchUp, func() bool { return r.g.cfg.State.Index() >= index }) {
		return spec.Errorf(spec.CodeStaleState, "This node's copy of the state is at index %d, and %d was asked for.", r.g.cfg.State.Index(), index)
	}
	return nil
}

// linearize waits, where the request wants that, until this node's copy of the
// state has every write that was answered before. It returns the copy's age.
func (r *request) linearize() (time.Duration, error) {
	wanted, err := r.linearizable()
	if err != nil || !wanted {
		return r.g.cfg.State.Age(), err
	}
	if r.g.cfg.Barrier == nil {
		return 0, r.elsewhere("give linearizable reads")
	}
	return r.barrier()
}

// barrier waits until this node's copy of the state has every write that was
// answered before, and returns the copy's age.
func (r *request) barrier() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(r.g.work, adminTimeout)
	defer cancel()
	began := time.Now()
	if err := r.g.cfg.Barrier.Barrier(ctx); err != nil {
		return 0, err
	}
	return min(r.g.cfg.State.Age(), time.Since(began)), nil
}

// newest is barrier for who has found something lacking. It tells whether this node's
// copy is newer than before, and has the tables that are made from it as new.
func (r *request) newest() (bool, error) {
	was := r.g.cfg.State.Index()
	if _, err := r.barrier(); err != nil {
		return false, err
	}
	now := r.g.cfg.State.Index()
	r.g.await(catchUp, func() bool { return r.g.seen.Load() >= now })
	return now > was, nil
}

// wrote has this node's tables know of what a seam has written, and tells the client from
// where on others do.
func (r *request) wrote() {
	now := r.g.cfg.State.Index()
	r.g.await(catchUp, func() bool { return r.g.seen.Load() >= now })
	r.ctx.Response.Header.Set(HeaderStateIndex, itoa(int64(now)))
}

func (r *request) linearizable() (bool, error) {
	param, arg := HeaderConsistency, string(r.ctx.Request.Header.Peek(HeaderConsistency))
	if arg == "" {
		param, arg = "consistency", string(r.ctx.QueryArgs().Peek("consistency"))
	}
	switch arg {
	case "", "local":
		return false, nil
	case "linearizable":
		return true, nil
	}
	return false, &spec.Error{Code: spec.CodeInvalidRequest, Param: param, Message: param + ` must be "local" or "linearizable".`}
}

func parseIndex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<59 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(b) > 0
}
