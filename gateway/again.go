package gateway

import (
	"errors"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// tries bounds how often one request is decided on.
const tries = 8

// An outrun is the error of a write that something else came before: a loss of what
// the caller was let in by, or a change of what was to be changed. Once this node knows
// of that, the request is decided on anew, from the credential on.
type outrun struct {
	index uint64 // by which this node knows
	err   error
}

func (o *outrun) Error() string { return o.err.Error() }
func (o *outrun) Unwrap() error { return o.err }

// refused is the error of a write that the state has refused.
func (r *request) refused(res *wire.Result) error {
	err := &spec.Error{Code: spec.Code(res.GetCode()), Message: sentence(res.GetMessage())}
	if err.Code == spec.CodeStaleState || err.Code == spec.CodeConflict && r.merges {
		return &outrun{res.GetIndex(), err}
	}
	return err
}

// mayBegin tells whether the request that ended so is to be decided on anew.
func (r *request) mayBegin(err error) bool {
	if err == nil { // as most do
		return false
	}
	var late *outrun
	return errors.As(err, &late) && r.try < tries && r.g.await(catchUp, func() bool { return r.g.seen.Load() >= late.index })
}

// attempted is the id of a write in this try. What was refused for a conflict is
// remembered under its id, so that another try at it needs another.
func (r *request) attempted(id string) string {
	if r.merges && r.try > 0 {
		return id + "/again-" + strconv.Itoa(r.try)
	}
	return id
}
