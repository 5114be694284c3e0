package relay

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// errStatus says that the engine answered with a status that another instance
// may not give. Its answer stays in x.buf, for the client if nobody does better.
var errStatus = errors.New("engine answered with an error")

// errTooLong ends a request: no other instance would answer more briefly.
var errTooLong = &spec.Error{Code: spec.CodeUpstream,
	Message: "The engine's answer is larger than this gateway holds; ask for it as a stream, or in smaller batches."}

// maxBroken bounds how many instances' engines may break off over one request before
// it ends: it may be what kills them, and is not to take every replica along.
const maxBroken = 2

// adapterRetry is what clients are told to wait for an adapter that failed.
const adapterRetry = 10 * time.Second

// errNoAnswer says that the engine answered with no error's status and something else than
// what it was asked for, such as a page. It stays in x.buf.
var errNoAnswer = errors.New("engine answered with something that is no answer")

const jsonType = "application/json"

// checkAnswer tells whether an answer that is no stream is worth another attempt.
func (x *Exchange) checkAnswer() error {
	switch s := x.out.Status; {
	case s == http.StatusNotImplemented && x.native: // see unserved
		return nil
	case s >= http.StatusInternalServerError, s == http.StatusTooManyRequests:
		return errStatus
	case s >= http.StatusBadRequest:
		return nil
	case s >= http.StatusMultipleChoices, x.page():
		return errNoAnswer
	case x.Raw && isJSON(x.contentType) && openai.IsError(x.buf):
		return errNoAnswer
	case x.Raw:
		return nil
	case x.Call.Stream, x.Object && !(openai.IsAnswer(x.buf) && utf8.Valid(x.buf)):
		return errNoAnswer
	case x.Object && x.writes() && !openai.HasChoices(x.buf):
		return errNoAnswer
	}
	return nil
}

// page tells whether it is one of a web server's: no API here has such an answer.
func (x *Exchange) page() bool {
	const html = "text/html"
	return len(x.contentType) >= len(html) && strings.EqualFold(x.contentType[:len(html)], html)
}

// blame replaces an error that the watcher caused, or the request's deadline, by its cause.
func (x *Exchange) blame(err error) error {
	_ = x.r.watcher.finalCause(&x.watch) // it ends x.work where it is the deadline
	if cause := x.work.Cause(); cause != nil && !errors.Is(cause, context.Canceled) {
		var r *spec.Rejection
		if !errors.As(err, &r) {
			return cause
		}
	}
	return err
}

// late tells whether what has just ended did so at the request's deadline or after it.
func (x *Exchange) late() bool { return errors.Is(x.r.watcher.finalCause(&x.watch), errDeadline) }

// judge decides after a failed attempt: nil for another one, or the error that
// the request ends with.
func (x *Exchange) judge(err error) error {
	x.last = err
	if final := x.r.watcher.finalCause(&x.watch); final != nil {
		return final
	}
	var refused *spec.Rejection
	if errors.As(err, &refused) {
		return x.refused(refused)
	}
	if errors.Is(err, errUnable) { // nothing was sent, and it is as well as before
		x.refusals++
		x.Query.Exclude = append(x.Query.Exclude, x.grant.Target.Instance)
		if x.drop(); x.refusals >= maxRefusals {
			return err
		}
		return nil
	}
	x.fared(err)
	x.failures++
	if !x.resuming && x.cached.how != spec.CacheHit && brokeOff(err) { // a joined request was the same, and may be what its engine died of
		x.brokeOff++
	}
	if errors.Is(err, errTooLong) || errors.Is(err, openai.ErrNoContinuation) {
		return err
	}
	if public := (*spec.Error)(nil); errors.As(err, &public) && public.Code.Lookup().Status < 500 {
		x.grant.Answered()
		return err // the same anywhere
	}
	x.r.metrics.retries.WithLabelValues(reasonOf(err)).Inc()
	x.r.cfg.Log.Info("attempt failed", "request_id", x.Call.RequestID, "node", x.grant.Node,
		"instance", x.grant.Target.Instance, "attempt", x.out.Attempts, "error", err)
	if x.others(err) {
		x.Query.Avoid = append(x.Query.Avoid, x.grant.Node) // where the others' is most likely served, if another has room
	} else if x.exclude(err); !errors.Is(err, errStatus) && !errors.Is(err, errEngine) && !errors.Is(err, errNoAnswer) && !errors.Is(err, errUnfinished) {
		x.Query.Avoid = append(x.Query.Avoid, x.grant.Node) // its other instances may be as dead
		x.grant.Failed()
	} else if x.out.Status != http.StatusTooManyRequests {
		x.grant.Erred()
	}
	x.drop()
	if x.brokeOff >= maxBroken {
		x.r.metrics.suspects.Inc()
		x.r.cfg.Log.Warn("a request is not tried again: engines broke off over it", "request_id", x.Call.RequestID, "instances", x.brokeOff)
		return err
	}
	if x.failures >= x.r.cfg.Tries || !x.resuming && !x.budgeted() { // what a client has begun to read is brought to its end
		return err
	}
	return nil
}

// brokeOff tells whether an engine that had been sent the request broke off before it
// answered. What never reached one, or was ended from here, does not tell of an engine.
func brokeOff(err error) bool {
	return errors.Is(err, spec.ErrBroken) && !errors.Is(err, errNodeGone) && !errors.Is(err, errMute) && !errors.Is(err, spec.ErrBehind)
}

// exclude has the request not tried again where it failed by err. Where its engine broke off, it may be once
// the engine has started anew: that it dies of the request is shown by its dying again.
func (x *Exchange) exclude(err error) {
	if !x.again && brokeOff(err) {
		x.again, x.Query.Died = true, x.grant.Run
		return
	}
	x.Query.Exclude = append(x.Query.Exclude, x.grant.Target.Instance)
}

// budgeted spends one attempt of the deployment's budget; false: the request ends.
func (x *Exchange) budgeted() bool {
	if x.r.budgets.take(x.Call.Deployment) {
		return true
	}
	x.r.metrics.unbudgeted.Inc()
	return false
}

func (x *Exchange) refused(r *spec.Rejection) error {
	if r.Reason == spec.RejectLoading { // nobody's refusal: the place waits for it
		return x.loading(r)
	}
	x.refusals++
	x.r.metrics.retries.WithLabelValues(r.Reason).Inc()
	switch r.Reason {
	case spec.RejectRevoked:
		x.drop()
		return spec.Errorf(spec.CodeRevokedKey, "The API key has been revoked.")
	case spec.RejectRegion, spec.RejectStale, spec.RejectAdapter: // of this request, not of the instance
		x.Query.Exclude = append(x.Query.Exclude, x.grant.Target.Instance)
	default:
		x.grant.Rejected(r)
	}
	x.drop()
	if x.refusals >= maxRefusals {
		code := spec.CodeBusy
		if r.Reason == spec.RejectUnhealthy {
			code = spec.CodeNotReady
		}
		return &balance.Refusal{RetryAfter: max(r.RetryAfter, balance.MinRetry),
			Err: spec.Errorf(code, "Instances refused the request %d times in turn, the last time as %s.", x.refusals, r.Reason)}
	}
	return nil
}

// loading has the request wait for the instance that is being loaded for it. Where
// that is unloaded each time before the request comes, it ends like any other wait.
func (x *Exchange) loading(r *spec.Rejection) error {
	x.r.metrics.retries.WithLabelValues(r.Reason).Inc()
	x.grant.Rejected(r)
	x.drop()
	if time.Since(x.began) < x.r.cfg.Table.LoadTimeout() {
		return nil
	}
	return &balance.Refusal{RetryAfter: max(r.RetryAfter, balance.MinRetry),
		Err: spec.Errorf(spec.CodeNotReady, "The model of %q is being loaded and was not ready in time.", x.Call.Deployment)}
}

// explain turns an internal error into what the client is told.
func (x *Exchange) explain(err error) error {
	var refusal *balance.Refusal
	var public *spec.Error
	switch {
	case errors.Is(err, errClientGone):
		return ErrGone
	case errors.As(err, &refusal):
		if x.last != nil && refusal.Err.Code == spec.CodeUpstream {
			return x.exhausted()
		}
		return x.told(refusal)
	case errors.As(err, &public):
		return err
	case errors.Is(err, errStatus):
		return errStatus
	case errors.Is(err, errNoAnswer):
		return x.misfit()
	case errors.Is(err, errDeadline):
		return &spec.Error{Code: spec.CodeDeadline, Message: "The request's deadline passed before its answer was complete.", Err: err}
	case errors.Is(err, errShutdown):
		return &spec.Error{Code: spec.CodeDraining, Message: "This gateway was shut down before the answer was complete.", Err: err}
	case errors.Is(err, openai.ErrNoContinuation):
		return err
	case errors.Is(err, spec.ErrBroken), errors.Is(err, errStalled), errors.Is(err, errNodeGone), errors.Is(err, errMute), errors.Is(err, errUnfinished):
		return &spec.Error{Code: spec.CodeStreamBroken, Message: "The answer broke off: " + reasonText(err) + ".", Err: err}
	default:
		return &spec.Error{Code: spec.CodeUpstream, Message: "The instances that were tried could not be reached.", Err: err}
	}
}

// told is the refusal, with its cause for those who may know it.
func (x *Exchange) told(r *balance.Refusal) error {
	if r.Why == "" || !x.Topology {
		return r
	}
	detailed := *r.Err
	detailed.Message += " Its device tells: " + r.Why
	return &balance.Refusal{RetryAfter: r.RetryAfter, Err: &detailed}
}

// exhausted tells why nobody is left to try.
func (x *Exchange) exhausted() error {
	var r *spec.Rejection
	if !errors.As(x.last, &r) {
		return x.explain(x.last)
	}
	if r.Reason == spec.RejectAdapter {
		return &balance.Refusal{RetryAfter: max(r.RetryAfter, adapterRetry), Err: &spec.Error{Code: spec.CodeNotReady, Param: "model",
			Message: "The adapter " + strconv.Quote(x.Call.Adapter) + " could not be loaded.",
			Hint:    "lotabots status shows the reason; the load is tried again after a while."}}
	}
	return &balance.Refusal{RetryAfter: max(r.RetryAfter, balance.MinRetry),
		Err: spec.Errorf(spec.CodeNotReady, "Every instance of %q refused the request, the last one as %s.", x.Call.Deployment, r.Reason)}
}

func reasonText(err error) string {
	switch {
	case errors.Is(err, errStalled):
		return errStalled.Error()
	case errors.Is(err, errNodeGone):
		return errNodeGone.Error()
	case errors.Is(err, errMute):
		return errMute.Error()
	case errors.Is(err, errUnfinished):
		return errUnfinished.Error()
	case errors.Is(err, spec.ErrBehind):
		return "it was read too slowly for " + spec.ErrBehind.Error()
	default:
		return "the engine or its node failed"
	}
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, errStatus):
		return "engine_status"
	case errors.Is(err, errNoAnswer):
		return "no_answer"
	case errors.Is(err, errEngine):
		return "engine_error"
	case errors.Is(err, errUnfinished):
		return "unfinished"
	case errors.Is(err, errStalled):
		return "stalled"
	case errors.Is(err, errNodeGone):
		return "node_gone"
	case errors.Is(err, errMute):
		return "node_mute"
	case errors.Is(err, spec.ErrBehind):
		return "behind"
	case errors.Is(err, errShutdown):
		return "shutdown"
	case errors.Is(err, errDeadline):
		return "deadline"
	case errors.Is(err, spec.ErrBroken):
		return "broken"
	default:
		return "connection"
	}
}

func asPublic(err error) *spec.Error {
	var e *spec.Error
	if errors.As(err, &e) {
		return e
	}
	return &spec.Error{Code: spec.CodeInternal, Message: "The gateway failed to serve the request.", Err: err}
}
