package gpu

import (
	"sync"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Lane lets requests in to one instance, and out again, without a message to the actor
// for each. The actor says how many may come, and with what; it closes the lane before it
// looks at anything, takes over what was let in and out meanwhile, and opens it by what
// it knows then. So it decides by the same table as if each request had been a message.
// A lane that is closed, or whose terms do not fit, sends callers to the actor.
type Lane struct {
	device spec.DeviceID
	tell   func() // has the actor look, before long
	still  func() // takes that back
	mu     struct {
		sync.Mutex
		terms
		open  bool
		noted []passage // since the lane was opened, in their order
	}
}

// terms are what a lane lets in.
type terms struct {
	engine     engine.Engine
	deployment string
	version    uint64
	requests   int // that may still come
	tokens     int // of their prompts: while some are left, the next may come
	longest    int // prompt
	load       spec.Load
}

// A passage is what an actor is told later. Its fields are those of the messages.
type passage struct {
	Release
	kind     passageKind
	streamed bool
	prompt   int // of one that came
	at       time.Time
}

type passageKind uint8

const (
	cameIn passageKind = iota
	firstByteOf
	wentOut
)

// Admit lets a request in; false: its message is to be sent.
func (l *Lane) Admit(device spec.DeviceID, m *Admit, now time.Time) (Admission, bool) {
	if l == nil || l.device != device || m.Kept != 0 || m.Waits.Seq != 0 || m.Waits.Declined != 0 || m.Adapter != "" {
		return Admission{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, prompt := &l.mu.terms, max(m.PromptTokens, 0)
	switch {
	case !l.mu.open, t.requests <= 0, t.tokens <= 0, prompt > t.longest:
		return Admission{}, false
	case m.Deployment != t.deployment, m.Version != 0 && m.Version != t.version:
		return Admission{}, false
	}
	t.requests--
	t.tokens -= prompt
	t.load.Running++
	if t.load.Paced && t.load.PrefillTPS > 0 {
		t.load.BacklogSeconds += float64(prompt) / t.load.PrefillTPS
	}
	l.note(passage{kind: cameIn, Release: Release{Lease: m.Lease}, streamed: m.Streamed, prompt: prompt, at: now})
	return Admission{Engine: t.engine, Load: t.load}, true
}

// FirstByte takes m; false: it is to be sent.
func (l *Lane) FirstByte(m *FirstByte, now time.Time) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.open {
		return false
	}
	l.note(passage{kind: firstByteOf, Release: Release{Lease: m.Lease}, streamed: m.Streamed, at: now})
	return true
}

// Release takes m, and tells what load remains; false: it is to be sent.
func (l *Lane) Release(m *Release, now time.Time) (spec.Load, bool) {
	if l == nil {
		return spec.Load{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.open {
		return spec.Load{}, false
	}
	l.mu.requests++
	l.mu.load.Running = max(l.mu.load.Running-1, 0)
	l.note(passage{kind: wentOut, Release: *m, at: now})
	return l.mu.load, true
}

// note needs mu.
func (l *Lane) note(p passage) {
	p.at = spec.Later(p.at, l.mu.load.At) // who took the time first may come second
	l.mu.load.At = p.at
	if l.mu.noted = append(l.mu.noted, p); len(l.mu.noted) == 1 {
		l.tell()
	}
}

// shut closes the lane and gives what has passed, to be read before it opens again.
func (l *Lane) shut() []passage {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.open = false
	passed := l.mu.noted
	l.mu.noted = l.mu.noted[:0]
	return passed
}

// reopen lets requests in on new terms.
func (l *Lane) reopen(t terms) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.terms, l.mu.open = t, true
}

// Lanes are those of a node's instances. Its zero value has none.
type Lanes struct{ by sync.Map } // spec.InstanceID to *Lane

// Of is the instance's; nil: it has none.
func (s *Lanes) Of(id spec.InstanceID) *Lane {
	v, _ := s.by.Load(id)
	l, _ := v.(*Lane)
	return l
}

// terms are those on which requests may come without a message; false: none may.
func (t *table) terms(in *inst, now time.Time) (terms, bool) {
	if t.draining || t.quarantined() || in.engine == nil || in.guest != nil || in.state != wire.InstanceState_INSTANCE_STATE_READY || in.yielding || in.leaving || t.pressed() {
		return terms{}, false
	}
	f := t.facts(in)
	requests, tokens, longest := in.gate.Headroom(&f, now)
	return terms{engine: in.engine, deployment: in.load.GetDeployment(), version: in.load.GetVersion(), requests: requests, tokens: tokens, longest: longest}, requests > 0
}
