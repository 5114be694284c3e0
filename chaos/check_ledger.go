package chaos

// checkLedger: what a client was answered has been written down by then, and outlives its gateway's process; nothing is
// written down twice. (A request that failed may have been refused before it was anybody's.)
func checkLedger(e *Evidence) Verdict {
	v := Verdict{Check: CheckLedger, Promise: "a request that was answered whole is in its gateway's usage ledger once, and no other more often"}
	if e.Unread != "" {
		v.Looked++
		v.breach(0, "", "%s", e.Unread)
		return v
	}
	if !e.Ledger {
		v.Promise += " (not judged: the cluster writes no usage down, or the run broke off)"
		return v
	}
	for _, o := range of(e.Ops, OpInfer) {
		v.Looked++
		switch {
		case o.Recorded > 1:
			v.breach(o.End, "", "request %s to %s (%s) is written down %d times", o.Request, o.Node, o.Result, o.Recorded)
		case o.Result == Complete && o.Recorded == 0:
			v.breach(o.End, "", "request %s to %s was answered whole at %.3fs, and is not written down", o.Request, o.Node, o.End.Seconds())
		}
	}
	return v
}
