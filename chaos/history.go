package chaos

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Names of operations.
const (
	OpCreate = "create" // of a key
	OpRevoke = "revoke" // of a key
	OpRead   = "read"   // of a key's record, no older than what any client had seen before
	OpUse    = "use"    // of a key, by a request that identifies
	OpPut    = "put"    // of a deployment
	OpDrop   = "drop"   // of a deployment
	OpGet    = "get"    // of a deployment, as OpRead
	OpInfer  = "infer"  // a request to a model
	OpFault  = "fault"  // from the blow until the cluster is whole again
	OpWrite  = "write"  // the probe after a kill: from the blow until a write succeeded
	OpWhole  = "whole"  // from the end of a fault, its node up, until the cluster was whole again
	OpHeld   = "held"   // a fault from when the blow had fallen until just before its end began

	OpChange  = "change"  // of a key
	OpRefresh = "refresh" // of a session, by its newest refresh token
	OpReuse   = "reuse"   // of a session's refresh token that was exchanged before
	OpEndAll  = "end all" // of a user's sessions; Key is the user
)

// Results of operations on keys and deployments.
const (
	Live    = "live"
	Revoked = "revoked" // and, of a use, denied
	Closed  = "closed"  // of a use: the node's copy of the state is too old to let anybody in
	Absent  = "absent"
	Done    = "done"    // of writes, and of reads of deployments: acknowledged
	Refused = "refused" // answered with an error that says that nothing was done
	Unknown = "unknown" // no answer, or one that leaves it open
)

// Results of inference.
const (
	Complete   = "complete"    // finish reason, [DONE], and the text expected
	ErrorEvent = "error event" // in the stream, and then its end
	HTTPError  = "http error"  // with a code of the catalogue
	NoConnect  = "no connection"
	Broken     = "broken"    // the connection died in the middle
	Truncated  = "truncated" // ended as if all were well, and was not whole
	Garbled    = "garbled"   // not the text that the engine made: lost, doubled or foreign pieces
	TimedOut   = "timed out" // no end within the client's patience
)

// lastLook is the first client number of the last look, which is after all faults.
const lastLook = 1000

// An Op is one thing that a client did, or one fault. Times are from the start
// of the run on one monotonic clock.
type Op struct {
	Op       string        `json:"op"`
	Client   int           `json:"client"`
	Node     string        `json:"node"`            // that was asked, or hit
	What     string        `json:"what,omitempty"`  // in the test of access: what Key is of
	Key      string        `json:"key,omitempty"`   // id of a key or session, name of a deployment or role, user and role of a binding
	Value    string        `json:"value,omitempty"` // that was put, or was there; of a binding: its id
	Begin    time.Duration `json:"begin_ns"`
	End      time.Duration `json:"end_ns"`
	Result   string        `json:"result"`
	Code     string        `json:"code,omitempty"` // of the error
	Detail   string        `json:"detail,omitempty"`
	Lagging  []string      `json:"lagging,omitempty"`    // of a revocation: nodes that have not told
	Closing  closings      `json:"closing_ns,omitempty"` // of a revocation: the same, and when they refuse
	Served   string        `json:"served,omitempty"`     // of inference: node that served
	Attempts int           `json:"attempts,omitempty"`   // of inference, as told
	Request  string        `json:"request_id,omitempty"` // of inference
	Model    string        `json:"model,omitempty"`
	Seen     int           `json:"seen,omitempty"`     // of inference by the mock: how often it was dispatched
	Finished int           `json:"finished,omitempty"` // of inference by the mock: how often it was answered to the end
	Recorded int           `json:"recorded,omitempty"` // of inference: how often it is in the gateways' usage ledgers
	Kind     Kind          `json:"kind,omitempty"`     // of a fault
}

// closings says when nodes that may not know of a revocation refuse at the latest.
type closings map[string]time.Duration

// A History collects operations from many goroutines.
type History struct {
	start time.Time
	mu    sync.Mutex
	ops   []Op
}

// NewHistory returns an empty history whose clock starts now.
func NewHistory() *History { return &History{start: time.Now()} }

// Now is the time on the history's clock.
func (h *History) Now() time.Duration { return time.Since(h.start) }

// at is a moment of the machine's clock on the history's.
func (h *History) at(ms int64) time.Duration { return time.UnixMilli(ms).Sub(h.start) }

// Add writes down an operation.
func (h *History) Add(o Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// Ops returns what was written down so far.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Op(nil), h.ops...)
}

// replace puts ops, which know more, in place of what was written down.
func (h *History) replace(ops []Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = ops
}

// WriteOps writes one JSON object per line.
func WriteOps(w io.Writer, ops []Op) error {
	e := json.NewEncoder(w)
	for i := range ops {
		if err := e.Encode(&ops[i]); err != nil {
			return err
		}
	}
	return nil
}

// ReadOps reads what WriteOps wrote.
func ReadOps(r io.Reader) ([]Op, error) {
	var out []Op
	for d := json.NewDecoder(r); ; {
		var o Op
		switch err := d.Decode(&o); err {
		case nil:
			out = append(out, o)
		case io.EOF:
			return out, nil
		default:
			return out, err
		}
	}
}
