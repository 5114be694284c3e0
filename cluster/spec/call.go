package spec

import (
	"context"
	"io"
	"time"
)

// A Call is what accompanies one attempt at one request to the actor that
// serves it. The body travels beside it, as the engine will get it.
type Call struct {
	RequestID    string
	Tenant       string
	Key          string // key id, or session/ID, for revocation and accounting
	Deployment   string
	Version      uint64
	Regions      []string // allowed regions; empty: any
	Attempt      int      // 1 for the first
	Path         string   // the engine's path, such as /v1/chat/completions
	Gateway      NodeID
	Deadline     time.Time // zero: none
	TraceParent  string    // W3C trace context of the caller's span; empty: no trace
	PromptTokens int       // estimate
	CachedTokens int       // of them, that the engine is expected to have read for an earlier request
	Stream       bool
	Adapter      string       // one of the deployment's, by the name that clients use; empty: none
	Method       string       // empty: POST
	ContentType  string       // of the body; empty: application/json
	HeadLength   int          // bytes of the JSON with which a binary body begins, as KServe has it; 0: it is not in two parts
	Lease        uint64       // place that the actor has kept for it; 0: none
	Waits        *Reservation // what else waits at the gateway, which nobody writes to; nil: not told
	Alone        bool         // an engine broke off over it: it is not put together with others
	Cache        *CacheAsk    // nil: answers are neither kept nor looked for
}

// Waiting is what else waits at the call's gateway for the instance; its Seq is 0 where that is not told.
func (c *Call) Waiting(at InstanceID) Reservation {
	var r Reservation
	if c.Waits != nil {
		r = *c.Waits
	}
	r.Gateway, r.Instance = c.Gateway, at
	return r
}

// A Target is where one attempt goes.
type Target struct {
	Node     NodeID
	Device   DeviceID
	Instance InstanceID
}

// A Load is one instance's state as its actor last told it.
type Load struct {
	Instance       InstanceID
	Ready          bool
	Slots          int
	Running        int // leases held, requests
	Queued         int // requests waiting in the engine
	KVUse          float64
	BacklogSeconds float64
	Paced          bool    // it takes no more in than that allows
	PrefillTPS     float64 // tokens/s; 0: not measured yet
	DecodeTPS      float64 // tokens/s of one stream; 0: not measured yet
	Seq            uint64
	At             time.Time // when this process learnt it
}

// An Opener opens one attempt at a request. It returns once the engine has
// answered with a status and headers, or a *Rejection where the actor would
// not admit it (nothing was begun), or another error where it may have begun.
// Cancelling ctx, or closing the stream early, stops the engine's work and ends
// a read that waits.
type Opener interface {
	Open(ctx context.Context, target Target, call Call, body []byte) (Stream, error)
}

// A Prober is what an Opener has that can tell whether a node answers at all, by the
// way that its streams take. An error says that it did not before ctx ended.
type Prober interface {
	Alive(ctx context.Context, node NodeID) error
}

// A Stream is the engine's answer. Read returns io.EOF only at its proper end:
// an answer cut short is an error that wraps ErrBroken. Close releases the lease
// and may be called at any time, more than once.
type Stream interface {
	io.ReadCloser
	Status() int // HTTP status of the engine
	ContentType() string
	Load() (Load, bool) // the freshest load that came with the answer
}

// Headed is what a Stream has that can be in two parts, as KServe has it.
type Headed interface {
	HeadLength() int // bytes of the JSON with which the answer begins; 0: it is not in two parts
}

// Timed is what a Stream has whose engine's time was shared with other requests, or that
// took none: Held is how long a slot was held for it; false: for as long as it was open.
type Timed interface{ Held() (time.Duration, bool) }

// Hiding is what a Stream has from whose answer it may have been taken out what its engine found cached, lest a
// tenant learn of others' prompts: no number of cached tokens in it says anything then.
type Hiding interface{ Hides() bool }

// HeadLengthHeader is where KServe's protocol has the length of such a head.
const HeadLengthHeader = "Inference-Header-Content-Length"

// A Rejection is an actor's refusal to admit a call. It cost one message,
// nothing was begun, and another candidate may be tried at once.
type Rejection struct {
	Reason     string // one of the Reject constants
	RetryAfter time.Duration
	Load       *Load // the actor's present load, where it is known
}

// Reasons of a Rejection.
const (
	RejectBusy      = "busy"
	RejectDraining  = "draining"
	RejectNotLoaded = "not_loaded"
	RejectUnhealthy = "unhealthy"
	RejectRevoked   = "revoked" // the serving node knows that the key is no longer in force
	RejectRegion    = "region"  // the serving node is outside the allowed regions
	RejectLoading   = "loading" // it was not loaded, and is now being loaded because of this call
	RejectStale     = "stale"   // the serving node does not know the version yet, or no longer
	RejectAdapter   = "adapter" // the call's adapter could not be loaded there a moment ago
)

func (r *Rejection) Error() string { return "actor rejected the request: " + r.Reason }
