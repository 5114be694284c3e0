package consensus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// ForwardConfig is what a Forwarder needs.
type ForwardConfig struct {
	Port   Port
	Voters func() []spec.NodeID // whom to ask; those that lead know, the others tell who does
}

// A Forwarder proposes and reads for a node that is no Raft server.
type Forwarder struct {
	cfg    ForwardConfig
	caller *caller

	mu struct {
		sync.Mutex
		leader spec.NodeID // empty: unknown
		at     time.Time   // when it was told
		next   int         // of Voters, to ask where the leader is unknown
	}
}

// NewForwarder returns a Forwarder, which does nothing unasked.
func NewForwarder(c ForwardConfig) *Forwarder { return &Forwarder{cfg: c, caller: newCaller(c.Port)} }

// Propose is as Consensus.Propose.
func (f *Forwarder) Propose(ctx context.Context, cmd *wire.Command) (*wire.Result, error) {
	raw, err := stamp(cmd)
	if err != nil {
		return nil, err
	}
	return insist(ctx, "the write", func(ctx context.Context) (*wire.Result, error) {
		return at(ctx, f, func(ctx context.Context, node spec.NodeID) (*wire.Result, error) {
			return f.caller.propose(ctx, node, raw)
		})
	})
}

// ReadIndex is as Consensus.ReadIndex.
func (f *Forwarder) ReadIndex(ctx context.Context) (uint64, error) {
	return insist(ctx, "the read", func(ctx context.Context) (uint64, error) {
		index, err := at(ctx, f, f.caller.readIndex)
		return index, nothingBegun(err)
	})
}

// at calls the node that led last, or the next voter, and learns from the answer.
func at[T any](ctx context.Context, f *Forwarder, call func(context.Context, spec.NodeID) (T, error)) (T, error) {
	node, ok := f.pick()
	if !ok {
		var none T
		return none, errNoLeader
	}
	v, err := call(ctx, node)
	f.heard(node, err)
	return v, err
}

// heard learns from how a call to node went.
func (f *Forwarder) heard(node spec.NodeID, err error) {
	var other *notLeader
	switch {
	case errors.As(err, &other):
		f.learn(other.leader)
	case err != nil && !errors.Is(err, errFinal):
		f.learn("")
	default:
		f.learn(node)
	}
}

func (f *Forwarder) pick() (spec.NodeID, bool) {
	voters := f.cfg.Voters()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.leader != "" {
		return f.mu.leader, true
	}
	if len(voters) == 0 {
		return "", false
	}
	f.mu.next++
	return voters[f.mu.next%len(voters)], true
}

func (f *Forwarder) learn(leader spec.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.leader, f.mu.at = leader, time.Now()
}

const (
	hintAge     = time.Second            // a leader told so long ago is asked for again
	hintTimeout = 500 * time.Millisecond // of asking one voter
)

// Leader returns the leader, and asks the voters for it where this was last told
// more than a second ago: it may take half a second for each that is dead.
func (f *Forwarder) Leader() (spec.NodeID, bool) { return f.find(context.Background()) }

func (f *Forwarder) find(ctx context.Context) (spec.NodeID, bool) {
	if leader, ok := f.told(hintAge); ok {
		return leader, true
	}
	for _, v := range f.cfg.Voters() {
		ctx, cancel := context.WithTimeout(ctx, hintTimeout)
		s, err := f.caller.leader(ctx, v)
		cancel()
		if err == nil && s.Leader != "" {
			f.learn(s.Leader)
			return s.Leader, true
		}
	}
	f.learn("")
	return "", false
}

// told is the leader that this has heard of no longer ago than within.
func (f *Forwarder) told(within time.Duration) (spec.NodeID, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.leader == "" || time.Since(f.mu.at) > within {
		return "", false
	}
	return f.mu.leader, true
}
