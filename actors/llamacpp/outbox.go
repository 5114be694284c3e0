package llamacpp

import (
	"context"
	"sync"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// An event is a piece of an answer: text, or its end.
type event struct {
	index  int // of the answer, where a request has several
	text   string
	scores []openai.Logprob // of the tokens that begin in text, where asked for
	calls  []openai.CallDelta
	ids    []int32 // of the tokens since the event before, where asked for
	finish string  // "stop", "length" or "tool_calls" at the end
	stop   string  // the stop string that was found
	usage  openai.Usage
	err    error // the end too
}

func (e event) last() bool { return e.finish != "" || e.err != nil }

// An outbox takes events from the loop, which never waits, and gives them to the one goroutine that
// answers the client. What it holds is bounded by the answer's tokens.
type outbox struct {
	mu     sync.Mutex
	events []event
	wake   chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) put(e event) {
	o.mu.Lock()
	o.events = append(o.events, e)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take waits for events and returns all there are.
func (o *outbox) take(ctx context.Context) ([]event, error) {
	for {
		o.mu.Lock()
		events := o.events
		o.events = nil
		o.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
