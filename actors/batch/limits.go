package batch

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Limits bound what is put together for one instance.
type Limits struct {
	Inputs  int           // of one call
	Tokens  int           // of one call, as they are estimated
	Calls   int           // at a time, of one group
	Window  time.Duration // how long a request that finds a call running waits for others at most, where another may run beside it
	Callers int           // who wait or are served at a time; more are refused as busy
	Context int           // tokens that the engine reads of one input at most; longer ones go alone; 0: not known
}

// A Group is what may go in one call.
type Group struct {
	spec.Target
	Deployment string
	Version    uint64
	Adapter    string
	Path       string
	Parameters string // of the body, but for the inputs
	Tokens     bool   // the inputs are token lists
}

// A lane is the requests of one group. It decides and does nothing; whoever calls it
// holds the Batcher's lock.
type lane struct {
	group   Group
	limits  Limits
	waiting []*caller
	inputs  int // of those that wait
	tokens  int
	running int  // calls under way, and those that wait for a slot
	timed   bool // somebody looks again when the window ends
}

func (l *lane) add(c *caller) {
	l.waiting = append(l.waiting, c)
	l.inputs += len(c.request.inputs)
	l.tokens += c.tokens
}

// back puts those first who had been cut, and were not served.
func (l *lane) back(callers []*caller) {
	rest := l.waiting
	l.waiting, l.inputs, l.tokens = nil, 0, 0
	for _, c := range append(callers, rest...) {
		if !c.gone {
			l.add(c)
		}
	}
}

func (l *lane) remove(c *caller) {
	for i, other := range l.waiting {
		if other == c {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			l.inputs -= len(c.request.inputs)
			l.tokens -= c.tokens
			return
		}
	}
}

// due tells whether a call is to begin, and if so in what time; 0: now.
func (l *lane) due(now time.Time) (in time.Duration, ok bool) {
	switch {
	case len(l.waiting) == 0 || l.running >= max(l.limits.Calls, 1):
		return 0, false
	case l.running == 0, l.full(), l.waiting[0].solo:
		return 0, true
	}
	return max(l.limits.Window-now.Sub(l.waiting[0].came), 0), true
}

func (l *lane) full() bool {
	return l.inputs >= l.limits.Inputs || l.tokens >= l.limits.Tokens
}

// cut takes those who go together in the next call, in the order in which they came:
// one at least, whatever its size.
func (l *lane) cut() (callers []*caller) {
	inputs, tokens := 0, 0
	for _, c := range l.waiting {
		n := len(c.request.inputs)
		if len(callers) > 0 && (c.solo || inputs+n > l.limits.Inputs || tokens+c.tokens > l.limits.Tokens) {
			break
		}
		callers = append(callers, c)
		inputs, tokens = inputs+n, tokens+c.tokens
		if c.solo {
			break
		}
	}
	l.waiting = append([]*caller(nil), l.waiting[len(callers):]...)
	l.inputs -= inputs
	l.tokens -= tokens
	return callers
}
