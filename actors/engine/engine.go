package engine

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A Spec says what one engine is to serve and on what.
type Spec struct {
	Instance    spec.InstanceID
	Epoch       uint64 // of its placement
	Deployment  string
	Model       string // path of the imported file; empty: external, or the option weights names another
	ModelName   string // for answers
	Preset      string
	Options     map[string]string
	Context     uint32 // tokens per request; 0: the engine's default
	Slots       uint32 // requests at a time; 0: the engine's default
	Device      device.Device
	Others      []device.Device // of this node, that the engine spreads over as well
	Adapters    []AdapterFile   // LoRA, over the model
	MemoryBytes uint64          // reserved on each device; engines are not held to it
	Placement   []byte          // opaque: kept with the engine, for who finds it again
	Launched    func()          `json:"-"` // Start calls it once the process runs and has yet to load; nil: nobody asks
	// Loading is told, again and again until Start returns, which part of the model has been loaded, 0 to 1, by
	// engines that know; nil: nobody asks.
	Loading func(part float64) `json:"-"`
}

// An Engine serves one model. Methods may be called from any goroutine; Start only once.
type Engine interface {
	// Start returns when the engine can serve, or why it cannot: a *spec.Error, with the engine's last
	// lines where it said something. ctx bounds the start alone. After an error nothing runs any more.
	Start(ctx context.Context) error

	// Done is closed when a started engine's process has ended, asked or not. It never is for external.
	Done() <-chan struct{}

	// Err says, once Done is closed, how the process ended; nil: it was stopped.
	Err() error

	// Do posts body to path, such as /v1/chat/completions, and returns once the headers have come. The header of the
	// response is not to be changed. Closing the response's body early, or ending ctx, ends the engine's work on it.
	// Redirects are errors.
	Do(ctx context.Context, path string, head Head, body []byte) (*http.Response, error)

	// Load asks how busy the engine is. Known is false where it cannot tell.
	Load(ctx context.Context) (Load, error)

	// Healthy asks whether the engine answers.
	Healthy(ctx context.Context) error

	// Slots is how many requests it serves at a time, and Context how many tokens each may have, prompt
	// and answer together; 0: not known. Both are final once Start has returned.
	Slots() uint32
	Context() uint32

	// Stop asks the process to end, kills its whole group when the grace or ctx is over, and waits
	// until it is gone. It may be called at any time, more than once, also while Start runs.
	Stop(ctx context.Context) error
}

// As finds what not all engines can do: in e, or in an engine that e wraps.
func As[T any](e Engine) (able T, ok bool) {
	for e != nil {
		if able, ok = e.(T); ok {
			return able, true
		}
		wrapper, wraps := e.(interface{ Unwrap() Engine })
		if !wraps {
			break
		}
		e = wrapper.Unwrap()
	}
	return able, false
}

// Streams is what an engine has of which somebody counts the pieces of its answers: their readers add them here.
type Streams interface{ Streamed() *atomic.Uint64 }

// A Load is how busy an engine says it is.
type Load struct {
	Known      bool // the rest is told by the engine
	Running    int  // requests at work
	Queued     int  // requests waiting inside
	KVUse      float64
	PrefillTPS float64 // tokens/s read, all requests together; 0: not told
	DecodeTPS  float64 // tokens/s written, all requests together; 0: not told
	Preempted  uint64  // requests from which it has taken memory for others, since it began; 0: none, or not told
	Written    uint64  // tokens that it has written, for requests under way too, since it began; 0: not told
	Steps      uint64  // grows with all that it computes, also within one request; 0: not told
	Resident   uint64  // bytes of RAM that its processes have; 0: not told. It is told where Known is false, too
}
