package relay

import (
	"net/http"
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A Native is a request as engines get it that speak the client's API themselves. Its
// answer passes as it comes, and does not go on elsewhere once it has begun.
type Native struct {
	Able  spec.Ability // that says which engines do
	Path  string       // at the engine
	Body  []byte
	Shape NativeShape
}

// A NativeShape reads such an answer. Used as Shape is.
type NativeShape interface {
	Shape
	// Ending takes note of whole events, each of which it is given once, and tells how far
	// they go up to and with the one that ends their stream, and how that does.
	Ending(events []byte) (n int, done, failed bool)
	// Ends is Ending of one event, of which it takes no note, and which may lack the empty
	// line behind it.
	Ends(event []byte) (done, failed bool)
	// Error is what the engine says in the event by which its stream failed.
	Error(event []byte) *spec.Error
	// Usage is what was taken. False: the engine has not told, and it is what has passed.
	Usage() (openai.Usage, bool)
}

// choose decides in which form the present instance gets the request.
func (x *Exchange) choose() {
	n := x.Native
	x.native = n != nil && !x.resuming && x.fell == x.Instead && x.grant.Able.Can&n.Able != 0 && !x.r.lacking.has(x.lack())
	x.Call.Path = x.usual
	if x.native {
		x.Call.Path = n.Path
	}
}

// shape is what makes the present answer the client's; nil: it is that.
func (x *Exchange) shape() Shape {
	if x.native {
		return x.Native.Shape
	}
	return x.Shape
}

// unserved tells whether the engine has said that it does not have the client's API after
// all. It is not asked for that again, but in the form that every engine has.
func (x *Exchange) unserved() bool {
	if !x.native {
		return false
	}
	switch s := x.out.Status; {
	case s == http.StatusNotImplemented:
	case s != http.StatusNotFound && s != http.StatusMethodNotAllowed, x.misfit().Code != spec.CodeUnsupportedModel:
		return false
	}
	x.r.lacking.add(x.lack())
	x.r.cfg.Log.Info("an engine does not have an API that it was thought to have", "instance", x.grant.Target.Instance, "path", x.Call.Path, "status", x.out.Status)
	return true
}

// ending is openai.Ending of the present answer.
func (x *Exchange) ending(events []byte) (n int, done, failed bool) {
	if x.native {
		return x.Native.Shape.Ending(events)
	}
	return openai.Ending(events)
}

// done tells how the last bytes of a stream end it, where the empty line behind them may lack.
func (x *Exchange) done(tail []byte) (done, failed bool) {
	if x.native {
		return x.Native.Shape.Ends(tail)
	}
	return openai.Done(tail)
}

// said is the engine's error, of the event that ended its stream.
func (x *Exchange) said(event []byte) *spec.Error {
	if x.native {
		return x.Native.Shape.Error(event)
	}
	return openai.StreamError(event)
}

// A lack is that of an API at one run of an instance.
type lack struct {
	instance spec.InstanceID
	run      balance.Run
	api      spec.Ability
}

func (x *Exchange) lack() lack {
	return lack{x.grant.Target.Instance, x.grant.Run, x.Native.Able}
}

// manyLacks bounds how many are kept; past it all are found anew.
const manyLacks = 1024

// lacks are those that were found.
type lacks struct {
	mu struct {
		sync.Mutex
		of map[lack]struct{}
	}
}

func (all *lacks) has(one lack) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	_, ok := all.mu.of[one]
	return ok
}

func (all *lacks) add(one lack) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.mu.of == nil || len(all.mu.of) >= manyLacks {
		all.mu.of = map[lack]struct{}{}
	}
	all.mu.of[one] = struct{}{}
}
