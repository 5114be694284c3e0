package chaos

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// registryModel is one key's register: absent, live, then revoked for ever. A
// read is made from a state no older than any that a client had seen when it
// began, and so has to fit between the writes like any other operation. The
// use of a key is judged elsewhere: a gateway may learn of a key a moment late.
var registryModel = porcupine.Model{
	Init: func() any { return Absent },
	Step: func(state, input, output any) (bool, any) {
		was, got := state.(string), output.(string)
		switch input.(string) {
		case OpCreate:
			return was == Absent, Live
		case OpRevoke:
			switch {
			case got == Absent:
				return was == Absent, was
			case got == Unknown && was == Absent: // if it was applied, it found nothing
				return true, was
			}
			return was != Absent, Revoked
		}
		return got == was, was
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%s: %s", input, output) },
	DescribeState:     func(state any) string { return state.(string) },
}

// registryLimit bounds the search for one key's order.
const registryLimit = 20 * time.Second

// registryHistories groups what was done to each key. What was refused did
// nothing, an unanswered read tells nothing, and an unanswered write is open:
// it may take effect at any time, or never.
func registryHistories(ops []Op) map[string][]porcupine.Operation {
	out := map[string][]porcupine.Operation{}
	for _, o := range ops {
		if o.Key == "" || o.Result == Refused || o.Op == OpRead && o.Result == Unknown {
			continue
		}
		if o.Op != OpCreate && o.Op != OpRevoke && o.Op != OpRead {
			continue
		}
		p := porcupine.Operation{ClientId: o.Client + 1, Input: o.Op, Output: o.Result, Call: int64(o.Begin), Return: int64(o.End)}
		if o.Result == Unknown {
			p.Return = math.MaxInt64
		}
		out[o.Key] = append(out[o.Key], p)
	}
	return out
}

// checkRegistry asks whether some order of the operations on each key explains
// every answer, an order in which each took effect between its call and its answer.
func checkRegistry(e *Evidence) Verdict {
	v := Verdict{Check: CheckRegistry, Promise: "operations on keys are linearizable: some order of them explains every answer"}
	histories := registryHistories(e.Ops)
	keys := make([]string, 0, len(histories))
	for key := range histories {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		v.Looked += len(histories[key])
		switch porcupine.CheckOperationsTimeout(registryModel, histories[key], registryLimit) {
		case porcupine.Illegal:
			v.breach(time.Duration(histories[key][0].Call), key, "no order of the %d operations on key %s explains their answers: %s", len(histories[key]), key, told(e.Ops, key))
		case porcupine.Unknown:
			v.breach(time.Duration(histories[key][0].Call), key, "key %s could not be judged within %v", key, registryLimit)
		}
	}
	return v
}

// told lists the operations of a key that the model sees, for people.
func told(ops []Op, key string) string {
	var b bytes.Buffer
	for _, o := range ops {
		if o.Key == key && o.Op != OpUse {
			fmt.Fprintf(&b, "; %s on %s %.3f-%.3fs: %s", o.Op, o.Node, o.Begin.Seconds(), o.End.Seconds(), o.Result)
		}
	}
	return string(bytes.TrimPrefix(b.Bytes(), []byte("; ")))
}

// drawing renders one key's history as a page.
func drawing(ops []Op, key string) ([]byte, error) {
	history := registryHistories(ops)[key]
	var numbers []int // the page wants clients without gaps
	for i := range history {
		at := slices.Index(numbers, history[i].ClientId)
		if at < 0 {
			at = len(numbers)
			numbers = append(numbers, history[i].ClientId)
		}
		history[i].ClientId = at
	}
	_, info := porcupine.CheckOperationsVerbose(registryModel, history, registryLimit)
	var page bytes.Buffer
	err := porcupine.Visualize(registryModel, info, &page)
	return page.Bytes(), err
}

// checkDurable looks at every acknowledged key on every node after the faults.
func checkDurable(e *Evidence) Verdict {
	v := Verdict{Check: CheckDurable, Promise: "an acknowledged key, and an acknowledged revocation, is there on every node after the faults"}
	created, revocations := map[string]bool{}, map[string]string{}
	for _, o := range e.Ops {
		switch {
		case o.Op == OpCreate && o.Result == Done:
			created[o.Key] = true
		case o.Op == OpRevoke && o.Result != Refused && revocations[o.Key] != Done:
			revocations[o.Key] = o.Result
		}
	}
	for _, o := range of(e.Ops, OpUse) {
		if o.Client < lastLook || !created[o.Key] {
			continue
		}
		v.Looked++
		revocation, asked := revocations[o.Key]
		switch {
		case o.Result == Unknown:
			v.breach(o.Begin, o.Key, "node %s does not tell what key %s is: %s %s", o.Node, o.Key, o.Code, o.Detail)
		case o.Result == Absent:
			v.breach(o.Begin, o.Key, "key %s, acknowledged, is not known to node %s", o.Key, o.Node)
		case o.Result == Live && revocation == Done:
			v.breach(o.Begin, o.Key, "key %s, acknowledged as revoked, is in force on node %s", o.Key, o.Node)
		case o.Result == Revoked && !asked:
			v.breach(o.Begin, o.Key, "key %s was revoked by nobody, and is on node %s", o.Key, o.Node)
		}
	}
	return v
}

// checkRevoked: an acknowledged revocation is in force on every node within the
// limit, but for the nodes that its answer named, and those that were broken or
// out of reach at the time; they close within the limit after they are whole.
func checkRevoked(e *Evidence) Verdict {
	v := Verdict{Check: CheckRevoked, Promise: fmt.Sprintf("%v after a revocation was acknowledged, every node that its answer does not name refuses the key", e.Limits.Revoked)}
	revoked := map[string]Op{}
	for _, o := range of(e.Ops, OpRevoke) {
		if first, again := revoked[o.Key]; o.Result == Done && (!again || o.End < first.End) {
			revoked[o.Key] = o
		}
	}
	faults := windows(e.Ops)
	for _, o := range of(e.Ops, OpUse) {
		r, ok := revoked[o.Key]
		if !ok || o.Begin <= r.End+e.Limits.Revoked || o.Result == Unknown || excused(e, faults, r, o) {
			continue
		}
		v.Looked++
		if o.Result == Live {
			v.breach(o.Begin, o.Key, "node %s accepts key %s %.3f s after its revocation was acknowledged (by %s; lagging: %v)", o.Node, o.Key, (o.Begin - r.End).Seconds(), r.Node, r.Lagging)
		}
	}
	return v
}

// excused tells whether the node that was asked may not know of the revocation yet.
func excused(e *Evidence, faults []window, r, use Op) bool {
	if slices.Contains(r.Lagging, use.Node) && use.Begin < r.End+e.Limits.Settle {
		return true
	}
	for _, w := range faults {
		w.end += e.Limits.Revoked
		if w.node == use.Node && w.overlaps(r.Begin, use.End) && use.Begin < w.end {
			return true
		}
	}
	return false
}
