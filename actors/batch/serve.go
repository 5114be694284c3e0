package batch

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// maxAnswer bounds what one call answers with, in bytes.
const maxAnswer = 128 << 20

// A serving is one batch while it is asked for, whole or in parts.
type serving struct {
	b      *Batcher
	p      *batch
	l      *lane
	asked  int // calls made
	failed int // of them, by the engine's own fault
	most   int // how many of these are made before what is left is told of the last
	last   outcome
}

// An outcome is what became of one call.
type outcome struct {
	answered
	took time.Duration
	err  error // nothing was answered
}

// serve serves the callers of one batch. A rejection is returned where there is no slot:
// nothing was begun then.
func (b *Batcher) serve(p *batch, l *lane, callers []*caller, lease uint64) *spec.Rejection {
	s := &serving{b: b, p: p, l: l, most: 3 * bits.Len(uint(len(callers)))}
	out := s.ask(callers, lease)
	if refused := asBusy(out.err); refused != nil {
		return refused
	}
	b.cfg.Metrics.served(callers, out.took)
	s.settle(callers, out)
	b.cfg.Metrics.calls.Add(float64(s.asked))
	return nil
}

// settle gives the callers their parts, or divides what was refused. clean tells that
// the engine has answered all of them well.
func (s *serving) settle(callers []*caller, out outcome) (clean bool) {
	if out.err != nil {
		s.all(callers, result{err: out.err})
		return false
	}
	if len(callers) == 1 {
		s.charge(callers, out.took, nil)
		s.give(callers[0], &out.answered, alone(out.body, callers[0].request))
		return out.status < http.StatusBadRequest
	}
	if out.status < http.StatusBadRequest {
		return s.split(callers, out)
	}
	s.charge(callers, out.took, nil)
	if out.status >= http.StatusInternalServerError {
		s.failed++
		s.last = out
	}
	if !divisible(out.status) || s.failed >= s.most {
		for _, c := range callers {
			s.giveCommon(c, &out)
		}
		return false
	}
	s.b.cfg.Metrics.divided.Inc()
	half := len(callers) / 2
	first, second := s.again(callers[:half]), s.again(callers[half:])
	if first && second { // it was the number that was refused
		s.b.learn(s.l.group.Instance, inputsOf(callers), max(inputsOf(callers[:half]), inputsOf(callers[half:])))
	}
	return first && second
}

// divisible tells whether a refusal may be of one among several. What it is not is the
// engine's state, or the node's right to call it.
func divisible(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

// split gives each its part of one answer. Of an engine whose answers have no parts each
// is asked for alone, from now on.
func (s *serving) split(callers []*caller, out outcome) bool {
	bodies, counts, err := part(out.body, requestsOf(callers), inputsOf(callers))
	if err == nil {
		s.charge(callers, out.took, counts)
		for i, c := range callers {
			s.give(c, &out.answered, bodies[i])
		}
		return true
	}
	s.charge(callers, out.took, nil)
	s.b.cfg.Log.Warn("an engine's answer to several inputs cannot be divided, and each is asked for alone", "instance", s.l.group.Instance, "error", err)
	s.b.learn(s.l.group.Instance, inputsOf(callers), 1)
	clean := true
	for i := range callers {
		clean = s.again(callers[i:i+1]) && clean
	}
	return clean
}

// again asks for a part of the batch, waiting for a slot as long as anybody waits for it.
func (s *serving) again(callers []*caller) bool {
	lease := uint64(0)
	for {
		here := s.b.present(callers)
		if len(here) == 0 {
			if lease != 0 {
				s.b.decline(s.l.group.Target, lease)
			}
			return true
		}
		if s.failed >= s.most && lease == 0 {
			for _, c := range here {
				s.giveCommon(c, &s.last)
			}
			return false
		}
		out := s.ask(here, lease)
		refused := asBusy(out.err)
		if refused == nil {
			return s.settle(here, out)
		}
		if lease = s.b.await(s.l, refused.RetryAfter); s.b.work.Err() != nil {
			s.all(here, result{err: errClosed})
			return false
		}
	}
}

// ask makes one call for all of them.
func (s *serving) ask(callers []*caller, lease uint64) (out outcome) {
	s.asked++
	began := time.Now()
	call := s.call(callers, lease)
	stream, err := s.b.cfg.Open(s.p.ctx, s.l.group.Target, call, merge(requestsOf(callers)))
	if err != nil {
		return outcome{err: err}
	}
	defer stream.Close()
	body, err := io.ReadAll(io.LimitReader(stream, maxAnswer+1))
	switch {
	case err != nil:
		return outcome{err: &spec.Error{Code: spec.CodeUpstream, Message: "The engine's answer broke off.", Err: fmt.Errorf("%w: %w", spec.ErrBroken, err)}}
	case len(body) > maxAnswer:
		return outcome{err: errTooLarge}
	}
	out.took = time.Since(began)
	out.status, out.kind, out.body = stream.Status(), stream.ContentType(), body
	_ = stream.Close()
	out.load, out.loaded = stream.Load()
	return out
}

var errTooLarge error = &spec.Error{Code: spec.CodeUpstream, Message: "The engine's answer is larger than this node takes."}

// call is what goes with the callers' one call. It is in nobody's name where they are of
// several tenants, and ends with the last of their deadlines.
func (s *serving) call(callers []*caller, lease uint64) *spec.Call {
	c := *callers[0].call
	c.Gateway, c.Lease, c.Waits = Gateway, lease, nil
	for _, other := range callers[1:] {
		o := other.call
		c.PromptTokens += o.PromptTokens
		if o.Tenant != c.Tenant {
			c.Tenant = ""
		}
		if o.Deadline.IsZero() || !c.Deadline.IsZero() && o.Deadline.After(c.Deadline) {
			c.Deadline = o.Deadline
		}
	}
	if n := len(callers) - 1; n > 0 {
		c.RequestID += "+" + strconv.Itoa(n)
	}
	return &c
}

// all tells the same to those who are left.
func (s *serving) all(callers []*caller, out result) {
	if errors.Is(out.err, errTooLarge) && len(callers) > 1 { // together it was
		for i := range callers {
			s.again(callers[i : i+1])
		}
		return
	}
	for _, c := range callers {
		s.b.deliver(c, out)
	}
}

func (s *serving) give(c *caller, of *answered, body []byte) {
	a := *of
	a.body, a.held = body, c.held
	s.b.deliver(c, result{stream: &a})
}

// giveCommon tells a caller that the engine failed. What it said is of requests that went
// together, and may quote another's: it is not passed on.
func (s *serving) giveCommon(c *caller, of *outcome) {
	a := of.answered
	a.kind = "application/json"
	body := fmt.Appendf(nil, `{"error":{"message":"The engine failed with status %d over requests that went to it together."}}`, of.status)
	s.give(c, &a, body)
}

// charge divides a slot's time by tokens, or by the inputs' lengths where nobody told
// them. It is in whole units of accounts, and what is less is told the next time.
func (s *serving) charge(callers []*caller, took time.Duration, counts []int64) {
	weights := make([]int, len(callers))
	for i, c := range callers {
		if counts != nil {
			weights[i] = int(counts[i])
			continue
		}
		for _, w := range c.request.weights {
			weights[i] += w
		}
	}
	id := s.l.group.Instance
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	took += s.b.mu.rest[id]
	s.b.mu.rest[id] = took % accountUnit
	for i, n := range spread(int64(took/accountUnit), weights) {
		callers[i].held += time.Duration(n) * accountUnit
	}
}

// accountUnit is what the usage ledger tells apart of slots' time.
const accountUnit = time.Millisecond

// present are those of the callers who have not left.
func (b *Batcher) present(callers []*caller) (here []*caller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range callers {
		if !c.gone {
			here = append(here, c)
		}
	}
	return here
}

func requestsOf(callers []*caller) []*Request {
	out := make([]*Request, len(callers))
	for i, c := range callers {
		out[i] = c.request
	}
	return out
}

func inputsOf(callers []*caller) (n int) {
	for _, c := range callers {
		n += len(c.request.inputs)
	}
	return n
}
