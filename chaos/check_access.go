package chaos

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation on a key, binding or session, as the models see it.
type accessInput struct{ op, value string }

type accessOutput struct{ result, code, value string }

// A keyState is one key's record.
type keyState struct{ status, name, limit string }

// keyStep: absent, in force with a name and a limit, then revoked for ever. A
// change of one field leaves the other as it was.
func keyStep(was keyState, in accessInput, out accessOutput) (bool, keyState) {
	switch in.op {
	case OpCreate:
		name, limit, _ := strings.Cut(in.value, "/")
		return was.status == Absent, keyState{Live, name, limit}
	case OpChange:
		if was.status != Live {
			return out.result == Unknown, was
		}
		if name, ok := strings.CutPrefix(in.value, "name="); ok {
			return true, keyState{Live, name, was.limit}
		}
		return true, keyState{Live, was.name, strings.TrimPrefix(in.value, "limit=")}
	case OpRevoke:
		switch {
		case out.result == Absent:
			return was.status == Absent, was
		case was.status == Absent:
			return out.result == Unknown, was
		}
		return true, keyState{status: Revoked}
	}
	return out.result == was.status && (out.result != Live || out.value == was.name+"/"+was.limit), was
}

// sessionStep: absent, live, then ended for ever. One that has ended may be
// forgotten, so that nothing tells it from one that never was.
func sessionStep(was string, in accessInput, out accessOutput) (bool, string) {
	switch in.op {
	case OpCreate:
		return was == Absent, Live
	case OpRevoke, OpEndAll:
		switch {
		case out.result == Absent:
			return was != Live, was
		case was == Absent:
			return in.op == OpEndAll || out.result == Unknown, was
		}
		return true, Revoked
	case OpRefresh, OpReuse:
		switch {
		case out.result == Absent:
			return was != Live, was
		case out.code == "refresh_token_reused": // which ends it
			return was == Live, Revoked
		case out.result == Revoked:
			return was == Revoked, was
		case out.result == Unknown: // it may come late, when its token has had its turn
			if was == Live {
				return true, Revoked
			}
			return true, was
		}
		return was == Live && in.op == OpRefresh, was
	}
	return out.result == was || out.result == Absent && was == Revoked, was
}

// untold is a binding whose id nobody was told.
const untold = "?"

// bindingStep: which binding gives the user the role; "" is none. Who has the
// role already keeps the binding that gives it.
func bindingStep(was string, in accessInput, out accessOutput) (bool, string) {
	switch in.op {
	case OpCreate:
		switch {
		case out.result == Unknown && was == "":
			return true, untold
		case out.result == Unknown:
			return true, was
		}
		return was == "" || was == untold || was == out.value, out.value
	case OpRevoke:
		is := was == in.value || was == untold
		switch {
		case out.result == Absent:
			return was != in.value, was
		case !is:
			return out.result == Unknown, was
		}
		return true, ""
	}
	if was == untold && out.value != "" {
		return true, out.value
	}
	return was == out.value, was
}

func accessModel[S comparable](start S, step func(S, accessInput, accessOutput) (bool, S)) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return start },
		Step: func(state, input, output any) (bool, any) {
			return step(state.(S), input.(accessInput), output.(accessOutput))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
		DescribeState:     func(state any) string { return fmt.Sprint(state) },
	}
}

var accessModels = map[string]porcupine.Model{
	whatKey:     accessModel(keyState{status: Absent}, keyStep),
	whatSession: accessModel(Absent, sessionStep),
	whatBinding: accessModel("", bindingStep),
}

// accessHistories groups what was done to each key, session and binding. What was
// refused did nothing, an unanswered read tells nothing, and an unanswered write
// is open. The end of all of a user's sessions is one of each.
func accessHistories(ops []Op) map[string][]porcupine.Operation {
	out := map[string][]porcupine.Operation{}
	sessions := map[string][]string{} // of a user
	for _, o := range of(ops, OpCreate) {
		if o.What == whatSession && o.Key != "" {
			sessions[o.Value] = append(sessions[o.Value], o.Key)
		}
	}
	for _, o := range ops {
		if accessModels[o.What].Step == nil || o.Op == OpUse || o.Key == "" || o.Result == Refused || o.Op == OpRead && o.Result == Unknown {
			continue
		}
		p := porcupine.Operation{ClientId: o.Client + 1, Input: accessInput{o.Op, o.Value}, Output: accessOutput{o.Result, o.Code, o.Value}, Call: int64(o.Begin), Return: int64(o.End)}
		if o.Result == Unknown {
			p.Return = math.MaxInt64
		}
		keys := []string{o.Key}
		if o.Op == OpEndAll {
			keys = sessions[o.Key]
		}
		for _, key := range keys {
			out[o.What+" "+key] = append(out[o.What+" "+key], p)
		}
	}
	return out
}

// checkAccess asks of each key, session and binding whether some order of what
// was done to it explains every answer.
func checkAccess(e *Evidence) Verdict {
	v := Verdict{Check: CheckAccess, Promise: "operations on keys, sessions and bindings of roles are linearizable: some order of them explains every answer"}
	histories := accessHistories(e.Ops)
	for _, name := range slices.Sorted(maps.Keys(histories)) {
		h := histories[name]
		what, key, _ := strings.Cut(name, " ")
		v.Looked += len(h)
		switch porcupine.CheckOperationsTimeout(accessModels[what], h, registryLimit) {
		case porcupine.Illegal:
			v.breach(time.Duration(h[0].Call), key, "no order of the %d operations on %s explains their answers: %s", len(h), name, accessTold(h))
		case porcupine.Unknown:
			v.breach(time.Duration(h[0].Call), key, "%s could not be judged within %v", name, registryLimit)
		}
	}
	return v
}

// accessTold lists operations for people.
func accessTold(h []porcupine.Operation) string {
	slices.SortFunc(h, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var out []string
	for _, p := range h {
		end := fmt.Sprintf("%.3f", time.Duration(p.Return).Seconds())
		if p.Return == math.MaxInt64 {
			end = "?"
		}
		out = append(out, fmt.Sprintf("%v %.3f-%ss: %v", p.Input, time.Duration(p.Call).Seconds(), end, p.Output))
	}
	return strings.Join(out, "; ")
}
