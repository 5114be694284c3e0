package chaos

import (
	"slices"
	"time"
)

// checkOutcomes: every request ends in one of the ways that a client can tell
// apart. A connection may die, or not come about, only with the gateway's process.
func checkOutcomes(e *Evidence) Verdict {
	v := Verdict{Check: CheckOutcome, Promise: "every request ends in exactly one way: a whole answer, an error event, or an HTTP error with a code; nothing is cut off in silence, nothing comes twice"}
	faults := windows(e.Ops)
	for _, o := range of(e.Ops, OpInfer) {
		v.Looked++
		switch o.Result {
		case Complete:
		case ErrorEvent, HTTPError:
			if o.Code == "" {
				v.breach(o.End, "", "request %s to %s: an %s without a code: %s", o.Request, o.Node, o.Result, o.Detail)
			}
		case NoConnect, Broken:
			if !slices.ContainsFunc(faults, func(w window) bool {
				return w.node == o.Node && w.overlaps(o.Begin, o.End) && (w.died() || o.Result == NoConnect && w.kind == Stop)
			}) {
				v.breach(o.End, "", "request %s: %s, though nobody had killed node %s: %s", o.Request, o.Result, o.Node, o.Detail)
			}
		default:
			v.breach(o.End, "", "request %s to %s, served by %s, %.3f-%.3fs: %s: %s", o.Request, o.Node, o.Served, o.Begin.Seconds(), o.End.Seconds(), o.Result, o.Detail)
		}
	}
	return v
}

// checkDispatch: the engine saw a request no more often than the gateway says
// that it tried, and every whole answer was made by it.
func checkDispatch(e *Evidence) Verdict {
	v := Verdict{Check: CheckDispatch, Promise: "an engine gets a request once for each attempt that the answer tells of"}
	if !e.Mock {
		v.Promise += " (not judged: the mock engine was not part of this run)"
		return v
	}
	for _, o := range of(e.Ops, OpInfer) {
		if o.Model != mockModel || o.Attempts == 0 { // no answer told how often it was tried
			continue
		}
		v.Looked++
		if o.Seen > o.Attempts {
			v.breach(o.End, "", "request %s to %s (%s): the engine saw it %d times in %d attempts, and answered it to the end %d times", o.Request, o.Node, o.Result, o.Seen, o.Attempts, o.Finished)
		}
		if o.Result == Complete && o.Seen == 0 {
			v.breach(o.End, "", "request %s to %s was answered, and the engine never saw it", o.Request, o.Node)
		}
	}
	return v
}

// brokeOff tells whether the mock engine broke its answer off, at every attempt
// that was made.
func brokeOff(o Op) bool {
	return o.Model == mockModel && (o.Code == "stream_broken" || o.Code == "engine_error") && o.Seen > 0 && o.Finished == 0
}

// afterglow is how long after a fault a request may still suffer from it.
const afterglow = time.Second

// checkQuiet: while nothing is broken, requests are answered. A refusal for want
// of free slots is an answer of its kind, and the mock engine breaks off some of
// its own answers.
func checkQuiet(e *Evidence) Verdict {
	v := Verdict{Check: CheckQuiet, Promise: "requests succeed while nothing is broken"}
	faults := windows(e.Ops)
	for _, o := range of(e.Ops, OpInfer) {
		if slices.ContainsFunc(faults, func(w window) bool { return w.overlaps(o.Begin-afterglow, o.End) }) {
			continue
		}
		v.Looked++
		if o.Result != Complete && o.Code != "no_capacity" && !brokeOff(o) {
			v.breach(o.End, "", "request %s for %s to %s at %.3fs, with no fault near: %s %s %s", o.Request, o.Model, o.Node, o.Begin.Seconds(), o.Result, o.Code, o.Detail)
		}
	}
	return v
}
