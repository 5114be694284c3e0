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
)

// Results of operations on keys and deployments.
const (
	Live    = "live"
	Revoked = "revoked"
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
	Key      string        `json:"key,omitempty"`   // id of a key, or name of a deployment
	Value    string        `json:"value,omitempty"` // of a deployment: that was put, or was there
	Begin    time.Duration `json:"begin_ns"`
	End      time.Duration `json:"end_ns"`
	Result   string        `json:"result"`
	Code     string        `json:"code,omitempty"` // of the error
	Detail   string        `json:"detail,omitempty"`
	Lagging  []string      `json:"lagging,omitempty"`    // of a revocation: nodes that have not told
	Served   string        `json:"served,omitempty"`     // of inference: node that served
	Attempts int           `json:"attempts,omitempty"`   // of inference, as told
	Request  string        `json:"request_id,omitempty"` // of inference
	Model    string        `json:"model,omitempty"`
	Seen     int           `json:"seen,omitempty"`     // of inference by the mock: how often it was dispatched
	Finished int           `json:"finished,omitempty"` // of inference by the mock: how often it was answered to the end
	Kind     Kind          `json:"kind,omitempty"`     // of a fault
}

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
