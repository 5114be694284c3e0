package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Consensus is this node's Raft server.
type Consensus struct {
	cfg     Config
	raft    *raft.Raft
	stream  *stream
	peers   *peers
	caller  *caller
	asker   *Forwarder // knows the leader where raft does not
	metrics *metrics

	readyTerm atomic.Uint64             // the last term of this node's in which its state machine had all that was agreed before
	current   atomic.Pointer[time.Time] // see raise
	expelled  atomic.Bool               // a leader says that this server is none, which the server itself has missed

	run    context.Context // ends when Shutdown begins
	stop   context.CancelFunc
	duties sync.WaitGroup // of run
	asked  sync.WaitGroup // what waits for raft; none is added once ended
	opened time.Time

	moving sync.Mutex // held while the group is changed

	mu struct {
		sync.Mutex
		ended bool
	}
}

// Open starts the Raft server, with whatever it has on disk. A server without
// anything waits to be bootstrapped, or to be taken in by a leader.
func Open(c Config) (*Consensus, error) {
	c.fill()
	if err := catchUpWithSnapshot(c); err != nil {
		return nil, fmt.Errorf("starting Raft: %w", err)
	}
	n := &Consensus{cfg: c, caller: newCaller(c.Port), opened: time.Now()}
	n.run, n.stop = context.WithCancel(context.Background())
	n.asker = NewForwarder(ForwardConfig{Port: c.Port, Voters: n.acquaintances})
	n.stream = newStream(c.Port)
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: addresses{c.Nodes, c.Address}, Logger: newRaftLog(c.Log), Stream: n.stream,
		MaxPool: pooled, MaxRPCsInFlight: 1, Timeout: rpcTimeout,
	})
	transport.TimeoutScale = snapshotPace
	n.peers = newPeers(transport)
	var server atomic.Pointer[raft.Raft] // raft's goroutines begin before NewRaft returns
	n.peers.replicates = func(term uint64, id raft.ServerID) bool { return replicates(server.Load(), term, id) }
	n.peers.campaigns = func(term uint64) bool { return campaigns(server.Load(), term) }
	n.peers.again = c.Heartbeat / 2
	r, err := raft.NewRaft(c.raftConfig(), c.FSM, c.Logs, c.Stable, c.Snapshots, n.peers)
	if err != nil {
		n.stop()
		n.stream.cut()
		return nil, errors.Join(fmt.Errorf("starting Raft: %w", err), transport.Close())
	}
	server.Store(r)
	n.raft = r
	n.metrics = newMetrics(c.Registerer, n)
	n.duties.Go(n.watch)
	n.duties.Go(n.chooseVoters)
	n.duties.Go(n.keepCurrent)
	n.duties.Go(n.keepVigil)
	return n, nil
}

// addresses finds peers by what is known of them now. The address in Raft's own
// configuration is that of the time at which they were taken in, and is left so:
// raft 1.8 changes it under its own readers.
type addresses struct {
	nodes func() []*wire.Node
	now   func(spec.NodeID) (string, bool) // nil: nobody knows better
}

func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if a.now != nil {
		if addr, ok := a.now(spec.NodeID(id)); ok {
			return raft.ServerAddress(addr), nil
		}
	}
	for _, n := range a.nodes() {
		if n.GetId() == string(id) && n.GetClusterAddr() != "" {
			return raft.ServerAddress(n.GetClusterAddr()), nil
		}
	}
	return "", fmt.Errorf("the state has no record of node %s", id)
}

func replicates(r *raft.Raft, term uint64, id raft.ServerID) bool {
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// campaigns tells whether the server still asks whether it may stand in term.
func campaigns(r *raft.Raft, term uint64) bool {
	return r != nil && r.State() == raft.Candidate && r.CurrentTerm() < term
}

// Shutdown ends the server. It lets the proposals under way end first, for a
// while; those that do not have an unknown outcome.
func (c *Consensus) Shutdown(ctx context.Context) error {
	c.stop()
	c.mu.Lock()
	c.mu.ended = true
	c.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		c.duties.Wait()
		c.settle(ctx)
		c.peers.release()
		c.stream.cut()
		err := c.raft.Shutdown().Error()
		c.asked.Wait()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("Raft did not end in time: %w", ctx.Err())
	}
}

// settle waits for what was asked of raft: once raft has ended, some of it would
// never be answered.
func (c *Consensus) settle(ctx context.Context) {
	answered := make(chan struct{})
	go func() {
		c.asked.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
}

// Bootstrap makes this server, which has nothing yet, the only member of a new
// group. It does nothing where there is something already.
func (c *Consensus) Bootstrap(id spec.NodeID, addr string) error {
	err := c.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(addr)},
	}}).Error()
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil
	}
	return err
}

// errAbandoned is returned for what raft had not answered when its asker left.
var errAbandoned = errors.New("gave up waiting for Raft")

// errEnding is final: this node proposes no more.
var errEnding = final(spec.Errorf(spec.CodeNoLeader, "this node is shutting down"))

// ask waits for raft's answer no longer than ctx. What was asked goes on.
func (c *Consensus) ask(ctx context.Context, fn func() error) error {
	answer := make(chan error, 1)
	c.mu.Lock()
	if c.mu.ended {
		c.mu.Unlock()
		return errEnding
	}
	c.asked.Go(func() { answer <- fn() })
	c.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errAbandoned, context.Cause(ctx))
	}
}

// IsLeader tells whether this node leads, as far as it knows.
func (c *Consensus) IsLeader() bool { return c.raft.State() == raft.Leader }

// Leader returns the leader that this node knows of, itself or from others.
func (c *Consensus) Leader() (spec.NodeID, bool) {
	if id, ok := c.heardOf(); ok {
		return id, true
	}
	return c.asker.told(2 * hintAge)
}

// heardOf is the leader that talks to this server.
func (c *Consensus) heardOf() (spec.NodeID, bool) {
	_, id := c.raft.LeaderWithID()
	return spec.NodeID(id), id != ""
}

// acquaintances are the nodes that may lead, or know who does.
func (c *Consensus) acquaintances() []spec.NodeID {
	var out []spec.NodeID
	add := func(id spec.NodeID) {
		if id != c.cfg.ID && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range c.Voters() {
		add(id)
	}
	for _, n := range c.cfg.Nodes() {
		if eligible(n) {
			add(spec.NodeID(n.GetId()))
		}
	}
	return out
}

// Term returns Raft's present term.
func (c *Consensus) Term() uint64 { return c.raft.CurrentTerm() }

// Committed is the index of the last entry that this server knows to be agreed on.
func (c *Consensus) Committed() uint64 { return c.raft.CommitIndex() }

// Voters lists who votes, by this node's newest configuration.
func (c *Consensus) Voters() []spec.NodeID {
	var out []spec.NodeID
	for _, id := range c.voterIDs() {
		out = append(out, spec.NodeID(id))
	}
	return out
}

func (c *Consensus) servers() []raft.Server {
	return c.raft.GetConfiguration().Configuration().Servers
}

func (c *Consensus) voterIDs() []raft.ServerID {
	var out []raft.ServerID
	for _, s := range c.servers() {
		if s.Suffrage == raft.Voter {
			out = append(out, s.ID)
		}
	}
	return out
}

// InConfiguration tells whether this node is one of the group's servers, voting
// or not, and so gets the log. A node that is not may follow the state feed.
func (c *Consensus) InConfiguration() bool {
	if c.expelled.Load() {
		return false
	}
	return isServer(c.servers(), c.cfg.ID)
}

func isServer(servers []raft.Server, id spec.NodeID) bool {
	for _, s := range servers {
		if s.ID == raft.ServerID(id) {
			return true
		}
	}
	return false
}

// LeaderChanges tells when this node begins (true) or ceases (false) to lead. It
// holds the latest change only: true after true says that leadership was lost
// and won again. It has one reader, and is never closed.
func (c *Consensus) LeaderChanges() <-chan bool { return c.raft.LeaderCh() }
