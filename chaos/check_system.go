package chaos

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// A write to a register, as the model sees it.
type registerInput struct{ op, value string }

type registerOutput struct{ result, value string }

// registerModel is one deployment's or role's register: "" where it is absent, else what
// was put. A put succeeds whatever was there, a removal only where something was.
var registerModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		was, in, out := state.(string), input.(registerInput), output.(registerOutput)
		switch in.op {
		case OpPut:
			return true, in.value
		case OpDrop:
			if out.result == Absent {
				return was == "", was
			}
			return out.result == Unknown || was != "", ""
		}
		return was == out.value, was
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
	DescribeState:     func(state any) string { return state.(string) },
}

// registerHistories groups what was done to each register, as
// registryHistories does for keys.
func registerHistories(ops []Op) map[string][]porcupine.Operation {
	out := map[string][]porcupine.Operation{}
	for _, o := range ops {
		if o.Op != OpPut && o.Op != OpDrop && (o.Op != OpGet || o.Result == Unknown) || o.Result == Refused {
			continue
		}
		p := porcupine.Operation{ClientId: o.Client + 1, Input: registerInput{o.Op, o.Value}, Output: registerOutput{o.Result, o.Value}, Call: int64(o.Begin), Return: int64(o.End)}
		if o.Result == Unknown {
			p.Return = math.MaxInt64
		}
		out[o.Key] = append(out[o.Key], p)
	}
	return out
}

// checkRegisters asks of each register what checkRegistry asks of each key.
func checkRegisters(e *Evidence) Verdict {
	v := Verdict{Check: CheckRegisters, Promise: "operations on each record (a deployment, a role) are linearizable: some order of them explains every answer"}
	histories := registerHistories(e.Ops)
	for _, name := range slices.Sorted(maps.Keys(histories)) {
		h := histories[name]
		v.Looked += len(h)
		switch porcupine.CheckOperationsTimeout(registerModel, h, registryLimit) {
		case porcupine.Illegal:
			v.breach(time.Duration(h[0].Call), name, "no order of the %d operations on %s explains their answers: %s", len(h), name, toldOf(e.Ops, name))
		case porcupine.Unknown:
			v.breach(time.Duration(h[0].Call), name, "%s could not be judged within %v", name, registryLimit)
		}
	}
	return v
}

// toldOf lists the operations on a register, for people.
func toldOf(ops []Op, name string) string {
	var b bytes.Buffer
	for _, o := range ops {
		if o.Key == name {
			fmt.Fprintf(&b, "; %s on %s %.3f-%.3fs: %s %s", o.Op, o.Node, o.Begin.Seconds(), o.End.Seconds(), o.Result, o.Value)
		}
	}
	return strings.TrimPrefix(b.String(), "; ")
}

// checkKept looks at what the last look read of every key on every node.
func checkKept(e *Evidence) Verdict {
	v := Verdict{Check: CheckKept, Promise: "no acknowledged write to a key is lost, on any node"}
	created, revoked, asked := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, o := range e.Ops {
		created[o.Key] = created[o.Key] || o.Op == OpCreate && o.Result == Done
		revoked[o.Key] = revoked[o.Key] || o.Op == OpRevoke && o.Result == Done
		asked[o.Key] = asked[o.Key] || o.Op == OpRevoke && o.Result != Refused
	}
	for _, o := range of(e.Ops, OpRead) {
		if o.Client < lastLook || !created[o.Key] {
			continue
		}
		v.Looked++
		switch {
		case o.Result != Live && o.Result != Revoked:
			v.breach(o.Begin, o.Key, "key %s was acknowledged, and is %s on node %s", o.Key, o.Result, o.Node)
		case o.Result == Live && revoked[o.Key]:
			v.breach(o.Begin, o.Key, "the revocation of key %s was acknowledged, and is not there on node %s", o.Key, o.Node)
		case o.Result == Revoked && !asked[o.Key]:
			v.breach(o.Begin, o.Key, "key %s was revoked by nobody, and is on node %s", o.Key, o.Node)
		}
	}
	return v
}

// A StateHash is the hash of one node's whole state, and the index that it is of.
type StateHash struct {
	Index uint64 `json:"index"`
	Hash  string `json:"hash"`
}

// checkStates: every node's state is the same, to the byte.
func checkStates(hashes map[string]StateHash) Verdict {
	v := Verdict{Check: CheckStates, Promise: "at the end every node has the same state, by its hash"}
	var first string
	for _, id := range slices.Sorted(maps.Keys(hashes)) {
		v.Looked++
		if first == "" {
			first = id
		}
		if h := hashes[id]; h != hashes[first] || h.Hash == "" {
			v.breach(0, "", "node %s has %v, node %s has %v", id, h, first, hashes[first])
		}
	}
	if v.Looked == 0 {
		v.breach(0, "", "no node told the hash of its state")
	}
	return v
}
