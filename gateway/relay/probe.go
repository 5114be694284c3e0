package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// errMute says that the serving node does not answer while its stream stands still.
var errMute = errors.New("the serving node does not answer")

const (
	// probeAfter is how long a stream that could be resumed stands still before its
	// node is asked whether it answers at all.
	probeAfter = 300 * time.Millisecond
	// muteAfter is how long it may take to.
	muteAfter = 400 * time.Millisecond
	// probeKept is how long an answer stands.
	probeKept  = 300 * time.Millisecond
	probeLimit = 3 * time.Second
)

// probes ask nodes whether they answer: over the connection that the streams use, so
// a link that is cut shows long before anybody gives the node up. Times are the
// watcher's, which stand still while this process does.
type probes struct {
	ask  spec.Prober // nil: nobody is asked
	work sync.WaitGroup
	mu   struct {
		sync.Mutex
		of map[spec.NodeID]*probe
	}
}

type probe struct {
	began int64 // by the watcher's clock
	over  bool
	ok    bool
}

// mute tells whether node is known not to answer, and asks it where that is not known.
// now is the watcher's clock.
func (p *probes) mute(node spec.NodeID, now int64) bool {
	if p.ask == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.mu.of[node]
	switch {
	case last == nil, last.over && time.Duration(now-last.began) > probeKept:
		p.begin(node, now)
		return false
	case last.over:
		return !last.ok
	}
	return time.Duration(now-last.began) > muteAfter
}

// begin asks node; p.mu is held.
func (p *probes) begin(node spec.NodeID, now int64) {
	if p.mu.of == nil {
		p.mu.of = map[spec.NodeID]*probe{}
	}
	for id, old := range p.mu.of { // nodes come and go
		if old.over && time.Duration(now-old.began) > time.Minute {
			delete(p.mu.of, id)
		}
	}
	asked := &probe{began: now}
	p.mu.of[node] = asked
	p.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
		defer cancel()
		err := p.ask.Alive(ctx, node)
		p.mu.Lock()
		defer p.mu.Unlock()
		asked.over, asked.ok = true, err == nil
	})
}

// wait returns when nobody is asked any more.
func (p *probes) wait() { p.work.Wait() }
