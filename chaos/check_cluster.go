package chaos

import (
	"fmt"
	"time"
)

// checkWritable: after a kill the others write again within the limit.
func checkWritable(e *Evidence) Verdict {
	v := Verdict{Check: CheckWritable, Promise: fmt.Sprintf("the cluster is writable again within %v of a kill -9", e.Limits.Writable)}
	for _, o := range of(e.Ops, OpWrite) {
		v.Looked++
		took := o.End - o.Begin
		if o.Result != Done {
			v.breach(o.Begin, "", "after node %s was killed, nothing could be written for %v", o.Node, took.Round(time.Millisecond))
		} else if took > e.Limits.Writable {
			v.breach(o.Begin, "", "after node %s was killed, the first write took %v", o.Node, took.Round(time.Millisecond))
		}
	}
	return v
}

// checkWhole: the system mends itself once a fault has ended.
func checkWhole(e *Evidence) Verdict {
	v := Verdict{Check: CheckWhole, Promise: fmt.Sprintf("within %v of a fault's end, its node up, every node sees every other, one leader, a current state and all instances, and can write", e.Limits.Settle)}
	if e.Failed != "" {
		v.Looked++
		v.breach(0, "", "the run broke off: %s", e.Failed)
	}
	for _, o := range of(e.Ops, OpFault) {
		if o.Result != Done {
			v.Looked++
			v.breach(o.Begin, "", "node %s did not come back after %s: %s", o.Node, o.Detail, brief(o.Result))
		}
	}
	for _, o := range of(e.Ops, OpWhole) {
		v.Looked++
		took := o.End - o.Begin
		if o.Result != Done {
			v.breach(o.Begin, "", "after %s of node %s: still, after %v: %s", o.Kind, o.Node, took.Round(time.Millisecond), o.Detail)
		} else if took > e.Limits.Settle {
			v.breach(o.Begin, "", "after %s of node %s it took %v", o.Kind, o.Node, took.Round(time.Millisecond))
		}
	}
	return v
}

// checkClean: the cluster's own end leaves nothing.
func checkClean(e *Evidence) Verdict {
	v := Verdict{Check: CheckClean, Promise: "the cluster stops when it is told to, and leaves no process behind", Looked: 1}
	if e.Left != "" {
		v.breach(0, "", "%s", e.Left)
	}
	return v
}
