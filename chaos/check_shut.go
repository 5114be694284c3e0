package chaos

import (
	"fmt"
	"time"
)

// A removal is an operation after which a credential is to be refused.
type removal struct {
	Op
	told bool // its answer names the nodes that may not know yet
}

// endings lists them by what they are of. Those of a user's sessions are of each.
func endings(ops []Op) map[string][]removal {
	out := map[string][]removal{}
	sessions := map[string][]Op{} // of a user
	for _, o := range ops {
		if o.What == "" || o.Key == "" {
			continue
		}
		name := o.What + " " + o.Key
		switch {
		case o.Op == OpCreate && o.What == whatSession && o.Result == Done:
			sessions[o.Value] = append(sessions[o.Value], o)
		case o.Op == OpRevoke && o.Result == Done:
			out[name] = append(out[name], removal{o, true})
		case (o.Op == OpRefresh || o.Op == OpReuse) && o.Result == Revoked:
			out[name] = append(out[name], removal{o, false})
		case o.Op == OpRead && o.Result == Revoked:
			out[name] = append(out[name], removal{o, false})
		}
	}
	for _, o := range of(ops, OpEndAll) {
		for _, s := range sessions[o.Key] {
			if o.Result == Done && s.End < o.Begin {
				out[whatSession+" "+s.Key] = append(out[whatSession+" "+s.Key], removal{o, true})
			}
		}
	}
	return out
}

// again lists when each binding may have been made.
func again(ops []Op) map[string][]Op {
	out := map[string][]Op{}
	for _, o := range of(ops, OpCreate) {
		if o.What == whatBinding && o.Result != Refused {
			out[whatBinding+" "+o.Key] = append(out[whatBinding+" "+o.Key], o)
		}
	}
	return out
}

// remade tells whether what had ended may have been in force again when it was used.
func remade(made []Op, e removal, use Op) bool {
	for _, m := range made {
		if m.Begin <= use.End && (m.End >= e.Begin || m.Result == Unknown) {
			return true
		}
	}
	return false
}

// checkShut holds every use of what was taken away to what was told of it. A node
// that the answer does not name refuses at once, one that it names does so by the
// time that it names, and whoever is cut off within the tenant's auth_max_age. A
// request that waited at a stopped node is judged by when the node went on. What
// ended without such an answer is refused within the limit where nothing is broken.
func checkShut(e *Evidence) Verdict {
	v := Verdict{Check: CheckShut, Promise: fmt.Sprintf("what was taken away lets nobody in: not on nodes that its answer does not name, on those named from the time told on, and %v later nowhere", e.MaxAge)}
	faults, ends, made := windows(e.Ops), endings(e.Ops), again(e.Ops)
	stops := held(e.Ops, Stop)
	for _, o := range of(e.Ops, OpUse) {
		name := o.What + " " + o.Key
		at := decided(stops, o)
		for _, end := range ends[name] {
			if at <= end.End || o.What == whatBinding && remade(made[name], end, o) {
				continue
			}
			v.Looked++
			if o.Result != Live {
				continue
			}
			closes, named := end.Closing[o.Node]
			after := fmt.Sprintf("node %s lets %s in at %.3fs (asked at %.3fs), %.3f s after %s was acknowledged at %.3fs by %s", o.Node, name, at.Seconds(), o.Begin.Seconds(), (at - end.End).Seconds(), end.Op.Op, end.End.Seconds(), end.Node)
			switch {
			case at > end.End+e.MaxAge:
				v.breach(o.Begin, o.Key, "%s: longer than the tenant's %v", after, e.MaxAge)
			case end.told && named && at > closes:
				v.breach(o.Begin, o.Key, "%s, which said that it would by %.3fs", after, closes.Seconds())
			case end.told && !named:
				v.breach(o.Begin, o.Key, "%s, which did not name it", after)
			case !end.told && at > end.End+e.Limits.Revoked && !broken(faults, o.Node, end.Begin, at):
				v.breach(o.Begin, o.Key, "%s, and nothing was broken there", after)
			}
		}
	}
	return v
}

// held lists when faults of that kind lasted.
func held(ops []Op, k Kind) []window {
	var out []window
	for _, o := range of(ops, OpHeld) {
		if o.Kind == k {
			out = append(out, window{o.Node, o.Kind, o.Begin, o.End})
		}
	}
	return out
}

// decided is the earliest time at which the node can have dealt with the request.
func decided(stops []window, o Op) time.Duration {
	for _, w := range stops {
		if w.node == o.Node && w.begin <= o.Begin && o.Begin <= w.end {
			return w.end
		}
	}
	return o.Begin
}

// broken tells whether the node was, or was not whole yet, at any time between.
func broken(faults []window, node string, begin, end time.Duration) bool {
	for _, w := range faults {
		if w.node == node && w.overlaps(begin, end) {
			return true
		}
	}
	return false
}

// slack is for what was on its way to a node when it was cut off.
const slack = 500 * time.Millisecond

// checkCutOff: who hears nobody lets nobody in for longer than the tenant says.
func checkCutOff(e *Evidence) Verdict {
	v := Verdict{Check: CheckCutOff, Promise: fmt.Sprintf("a node that has heard nothing for %v lets nobody of the tenant in", e.MaxAge)}
	var deaf []window
	for _, o := range of(e.Ops, OpHeld) {
		if o.Kind == Cut && Direction(o.Detail) != Out {
			deaf = append(deaf, window{o.Node, o.Kind, o.Begin, o.End})
		}
	}
	for _, o := range of(e.Ops, OpUse) {
		for _, w := range deaf {
			if w.node != o.Node || o.What == "" || o.Begin < w.begin+e.MaxAge+slack || o.End > w.end {
				continue
			}
			v.Looked++
			if o.Result == Live {
				v.breach(o.Begin, o.Key, "node %s lets %s %s in %.3f s after it was cut off", o.Node, o.What, o.Key, (o.Begin - w.begin).Seconds())
			}
		}
	}
	return v
}
