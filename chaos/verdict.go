package chaos

import (
	"fmt"
	"time"
)

// Evidence is what the checkers judge.
type Evidence struct {
	Ops    []Op
	Limits Limits
	Mock   bool   // the mock engine's sightings are in the operations
	Ledger bool   // what the gateways wrote down is
	Unread string // why it could not be read; empty: it was, or nobody tried
	Left   string // what was left behind at the end; empty: nothing
	Failed string // why the run broke off; empty: it did not

	MaxAge time.Duration // of the tenant in the test of access
}

// A Verdict is what one checker found.
type Verdict struct {
	Check      string      `json:"check"`
	Promise    string      `json:"promise"` // in words
	Looked     int         `json:"looked"`  // how many things it judged
	Violations []Violation `json:"violations,omitempty"`
}

// A Violation is one breach of a promise.
type Violation struct {
	Text string        `json:"text"`
	At   time.Duration `json:"at_ns"`
	Key  string        `json:"key,omitempty"`
}

// Names of the checks.
const (
	CheckRegistry = "registry"
	CheckDurable  = "durable"
	CheckRevoked  = "revoked"
	CheckOutcome  = "outcome"
	CheckDispatch = "dispatch"
	CheckLedger   = "ledger"
	CheckQuiet    = "quiet"
	CheckWritable = "writable"
	CheckWhole    = "whole"
	CheckClean    = "clean"

	CheckRegisters = "registers"
	CheckKept      = "kept"
	CheckStates    = "states"

	CheckAccess = "access"
	CheckShut   = "shut"
	CheckCutOff = "cut off"
)

// Judge runs every checker.
func Judge(e *Evidence) []Verdict {
	return []Verdict{
		checkRegistry(e), checkDurable(e), checkRevoked(e), checkOutcomes(e), checkDispatch(e), checkLedger(e),
		checkQuiet(e), checkWritable(e), checkWhole(e), checkClean(e),
	}
}

func (v *Verdict) breach(at time.Duration, key, format string, args ...any) {
	v.Violations = append(v.Violations, Violation{fmt.Sprintf(format, args...), at, key})
}

// A window is the time in which a node was broken or not whole yet.
type window struct {
	node       string
	kind       Kind
	begin, end time.Duration
}

// windows lists the faults.
func windows(ops []Op) []window {
	var out []window
	for _, o := range ops {
		if o.Op == OpFault {
			out = append(out, window{o.Node, o.Kind, o.Begin, o.End})
		}
	}
	return out
}

// overlaps tells whether the two closed intervals share a moment.
func (w window) overlaps(begin, end time.Duration) bool { return w.begin <= end && begin <= w.end }

// died tells whether the fault kills the node's process.
func (w window) died() bool { return w.kind == Kill || w.kind == Power }

// of selects the operations of that name.
func of(ops []Op, name string) []Op {
	var out []Op
	for _, o := range ops {
		if o.Op == name {
			out = append(out, o)
		}
	}
	return out
}
