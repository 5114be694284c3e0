package relay

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
)

// HeaderDeployment names the deployment that answered where that is another one than
// the client asked for.
const HeaderDeployment = "X-LotaBots-Deployment"

// An Alternative is another deployment that may serve a request.
type Alternative struct {
	Name    string // as clients name it
	Query   balance.Query
	Regions []string
	Adapter string
	Hedge   bool
	Body    []byte // the request as that deployment's engines are to get it
}

// run makes attempts until one has something for the client, with the deployment that
// the client asked for and then with the alternatives.
//
// While there is an alternative, nobody is waited for who is not ready. Where it turns
// out that none of them serves either, the first is waited for as if it had none.
func (x *Exchange) run() error {
	if x.Fallback == nil {
		return x.serve()
	}
	first := Alternative{Name: x.fell, Query: x.Query, Regions: x.Call.Regions, Adapter: x.Call.Adapter, Hedge: x.Hedge, Body: x.Body}
	next, more := x.Fallback(0)
	x.Query.Hasty = more
	err := x.serve()
	if !more || !x.mayFall(err) {
		return err
	}
	unready, told := notReady(err), x.worded(err)
	for n := 1; more; n++ {
		x.turn(next)
		next, more = x.Fallback(n)
		x.Query.Hasty = true
		if err = x.serve(); err == nil {
			x.r.metrics.fallbacks.WithLabelValues("served").Inc()
			return nil
		}
		if x.ended(err) {
			return err
		}
	}
	x.r.metrics.fallbacks.WithLabelValues("failed").Inc()
	if !unready {
		return told // of what the client asked for
	}
	x.turn(first)
	return x.serve()
}

// ended tells whether nothing can help the request any more.
func (x *Exchange) ended(err error) bool {
	return errors.Is(err, ErrGone) || x.r.watcher.finalCause(&x.watch) != nil
}

// worded is err without what the next attempt overwrites.
func (x *Exchange) worded(err error) error {
	if !errors.Is(err, errStatus) {
		return err
	}
	return x.refusal()
}

// mayFall tells whether another deployment may do better: the request itself is not at
// fault, and it has not ended for good.
func (x *Exchange) mayFall(err error) bool {
	var public *spec.Error
	switch {
	case err == nil, errors.Is(err, errTooLong), x.ended(err):
		return false
	case errors.Is(err, errStatus):
		return true
	case errors.As(err, &public):
		s := public.Code.Lookup().Status
		return public.Code != spec.CodeInternal && (s >= http.StatusInternalServerError || public.Code == spec.CodeBusy)
	}
	return true
}

func notReady(err error) bool {
	var r *balance.Refusal
	return errors.As(err, &r) && r.Err.Code == spec.CodeNotReady
}

// turn makes x a request for another deployment.
func (x *Exchange) turn(to Alternative) {
	x.drop() // what the wait for a place has left
	x.fell = to.Name
	x.failures, x.refusals, x.last, x.judged = 0, 0, nil, false
	x.Query, x.Hedge, x.Body = to.Query, to.Hedge, to.Body
	x.Bypass, x.Call.Cache, x.cached = x.Bypass || x.Call.Cache != nil, nil, cached{} // what is kept is another deployment's
	x.Call.Deployment, x.Call.Version, x.Call.Regions, x.Call.Adapter = to.Query.Deployment, to.Query.Version, to.Regions, to.Adapter
	x.out.Status, x.out.Node, x.contentType, x.buf = 0, "", "", x.buf[:0]
	x.r.budgets.request(x.Call.Deployment, time.Now())
}

// note tells in a comment what the headers tell of who serves; nil: nothing.
func (x *Exchange) note() []byte {
	var told []byte
	if x.Topology && x.out.Node != "" {
		told = append(told, " node="+string(x.out.Node)+" attempts="+strconv.Itoa(x.out.Attempts)...)
	}
	if x.fell != "" {
		told = append(told, " deployment="+x.fell...)
	}
	if told == nil {
		return nil
	}
	return append(append([]byte(": lotabots"), told...), "\n\n"...)
}
