//go:build mutant

package relay

import "github.com/lotabots/lotabots/cluster/spec/mutant"

// doubleDispatch sends the request a second time, behind the back of the
// balance: to another instance where there is one, else to the same, to show
// that the checks would notice it.
func (x *Exchange) doubleDispatch() {
	if !mutant.On(mutant.DoubleDispatch) || x.extra != nil {
		return
	}
	target, q := x.grant.Target, x.Query
	q.Exclude = append(q.Exclude[:len(q.Exclude):len(q.Exclude)], target.Instance)
	if other, ok := x.r.cfg.Table.Peek(&q); ok {
		target = other
	}
	if s, err := x.r.cfg.Opener.Open(x.work, target, x.Call, x.Body); err == nil {
		x.extra = s
	}
}

// nextExtra lets the second answer follow the first one.
func (x *Exchange) nextExtra() {
	_ = x.stream.Close()
	x.stream, x.extra = x.extra, nil
}
