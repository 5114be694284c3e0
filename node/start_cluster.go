package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/blobs"
	"github.com/lotabots/lotabots/storage/raftlog"
	"github.com/lotabots/lotabots/storage/snapshot"
	"github.com/lotabots/lotabots/storage/state"
)

func (n *Node) startTelemetry(ctx context.Context) error {
	flush, err := startTracing(ctx, n.config, n.version, &n.live.share)
	if err != nil {
		return err
	}
	n.onStop("tracing", flush)
	ops, err := startOps(n.layout.dir, n.serveReload)
	if err != nil {
		return err
	}
	n.onStop("ops socket", ops.shutdown)
	return nil
}

func (n *Node) openStorage(context.Context) error {
	if err := n.layout.checkWhole(); err != nil {
		return err
	}
	var err error
	if n.member, err = n.layout.loadMembership(); err != nil {
		return err
	}
	if n.db, err = storage.Open(n.layout.database(), storage.Options{Log: n.log, FS: n.disk}); err != nil {
		return err
	}
	n.onStop("database", func(context.Context) error { return n.db.Close() })
	n.db.Metrics(n.metrics)
	if n.state, err = state.Open(n.db); err != nil {
		return err
	}
	follow := func(c state.Change) {
		n.revocations.follow(c, n.state)
		if n.removals.follow(c, n.state.Nodes) && n.port != nil { // which is opened before anything is applied
			n.port.Recheck()
		}
	}
	unfollow := n.state.Subscribe(follow)
	n.onStop("revocations and removals", func(context.Context) error { unfollow(); return nil })
	follow(state.Change{Reset: true})
	n.blobs, err = blobs.Open(n.layout.models())
	return err
}

func (n *Node) openPort(context.Context) error {
	var err error
	if n.identity, err = pki.OpenIdentity(n.layout.identity()); err != nil {
		return err
	}
	if err := n.removedBy(nil); err != nil {
		return err
	}
	n.port, err = transport.Listen(transport.Config{
		Listen: n.config.Cluster.Listen, Advertise: n.config.Cluster.Advertise, Identity: n.identity,
		Resolve: n.addressOf, Admit: n.admit, Clock: time.Now, Log: n.log, Registerer: n.metrics,
	})
	if err != nil {
		return err
	}
	n.onStop("cluster port", func(context.Context) error { return n.port.Close() })
	return nil
}

// addressOf is where a node's cluster port is: by its record, else by gossip,
// else as it was when this node joined.
func (n *Node) addressOf(id spec.NodeID) (string, bool) {
	if r, ok := n.state.Node(string(id)); ok && r.GetClusterAddr() != "" {
		return r.GetClusterAddr(), true
	}
	for _, p := range n.member.Peers {
		if p.ID == string(id) {
			return p.Address, true
		}
	}
	return "", false
}

// errNotMember says why a peer with a good certificate is turned away.
var errNotMember = errors.New("the peer is no member of the cluster any more")

// admit tells whether a peer, whose certificate is the authority's, is let in.
// An expired certificate is good enough to renew it and to elect a leader who
// can sign, as long as its owner's record is in force.
func (n *Node) admit(p transport.Peer, proto string) error {
	r, known := n.state.Node(string(p.ID))
	switch {
	case known && r.GetState() == wire.NodeState_NODE_STATE_REMOVED:
		return errNotMember
	case known && replaced(r, p):
		return errors.New("the peer's certificate is that of an earlier node of this id")
	case p.Expired && !known:
		return errors.New("the peer's certificate has expired and nothing is known of it")
	case proto == "raft" && !slices.Contains(p.Roles, spec.RoleVoter): // Raft believes whoever speaks it
		return errors.New("the peer's certificate is not a voter's")
	case p.Expired && proto != "state" && proto != "raft":
		return fmt.Errorf("the peer's certificate has expired: it may renew it, but not use %s", proto)
	}
	return nil
}

// replaced tells whether the id was given to another machine's key since the
// peer's certificate was signed.
func replaced(r *wire.Node, p transport.Peer) bool {
	now := pki.MarkOf(r.GetCertSerial())
	return now != "" && now != pki.MarkOf(p.Serial)
}

func (n *Node) startGossip(context.Context) error {
	var err error
	n.gossip, err = gossip.Start(gossip.Config{
		ID: n.id, Roles: roles(n.config), Region: n.config.Node.Region, Zone: n.config.Node.Zone,
		Build: n.version, Level: FeatureLevel, API: advertised(n.config.API.Advertise, n.config.API.Listen),
		Port: n.port, Key: n.member.GossipKey, Label: n.member.Cluster, PeersFile: n.layout.peers(),
		Seeds: n.seeds(), Rejoin: n.config.Cluster.Rejoin, Known: n.knownAddresses, Barred: n.removals.removed, Log: n.log, Registerer: n.metrics,
	})
	if err != nil {
		return err
	}
	n.onStop("gossip", func(context.Context) error {
		if err := n.gossip.Leave(time.Second); err != nil { // the others will notice all the same
			n.log.Info("nobody was there to hear that this node leaves", "error", err)
		}
		n.gossip.Shutdown()
		return nil
	})
	n.background("disk", n.watchDisk)
	n.gossip.OnDigest(n.onDigest)
	n.gossip.Subscribe(n.onMember)
	return nil
}

// heardAt is where gossip hears a member: a voter that has moved is there before
// its record can say so.
func (n *Node) heardAt(id spec.NodeID) (string, bool) {
	for _, m := range n.gossip.Members() {
		if m.ID == id && id != n.id {
			return m.Addr, true
		}
	}
	return n.addressOf(id)
}

func (n *Node) seeds() []string {
	out := append([]string(nil), n.config.Cluster.Seeds...)
	for _, p := range n.member.Peers {
		out = append(out, p.Address)
	}
	return out
}

func (n *Node) knownAddresses() []string {
	var out []string
	for _, r := range n.state.Nodes() {
		if r.GetId() != string(n.id) && r.GetState() != wire.NodeState_NODE_STATE_REMOVED {
			out = append(out, r.GetClusterAddr())
		}
	}
	return out
}

// startConsensus makes the node take part in what the cluster agrees on: as a
// Raft server if it is one, else by following the feed.
func (n *Node) startConsensus(ctx context.Context) error {
	if !n.has(spec.RoleVoter) {
		forwarder := consensus.NewForwarder(consensus.ForwardConfig{Port: n.port, Voters: n.voters})
		n.proposer, n.reads, n.group = forwarder, forwarder, forwarder
		n.background("fence", n.watchFence)
		return n.startFollower()
	}
	if err := n.mayVote(ctx); err != nil {
		return err
	}
	var err error
	if n.taken, err = snapshot.Open(n.layout.snapshots(), 2, n.log); err != nil {
		return err
	}
	logs := raftlog.New(n.db)
	n.raft, err = consensus.Open(consensus.Config{
		ID: n.id, Port: n.port, Logs: logs, Stable: logs, Snapshots: n.taken, FSM: n.state,
		Nodes: n.state.Nodes, Alive: n.fit, Address: n.heardAt, Authorise: n.authorise, MostVoters: n.mostVoters, Needs: n.state.Needs, Calm: n.calm,
		Log: n.log, Registerer: n.metrics,
	})
	if err != nil {
		return err
	}
	n.onStop("consensus", n.raft.Shutdown)
	n.proposer, n.reads, n.group = n.raft, n.raft, n.raft
	n.background("spare", n.spare)
	n.background("fence", n.watchFence)
	return n.found(ctx)
}

// mostVoters is how many voters the cluster's setting allows.
func (n *Node) mostVoters() int {
	value, _ := n.state.Setting(spec.SettingRaftVoters)
	most, _ := spec.RaftVoters(value)
	return most
}

// found writes a new cluster's first records, once.
func (n *Node) found(ctx context.Context) error {
	first, err := n.layout.loadBootstrap()
	if err != nil || len(first) == 0 {
		return err
	}
	if err := n.raft.Bootstrap(n.id, n.port.Addr()); err != nil {
		return err
	}
	for _, command := range first {
		result, err := n.raft.Propose(ctx, command)
		if err != nil {
			return fmt.Errorf("writing the cluster's first records: %w", err)
		}
		if result.GetCode() != "" {
			return fmt.Errorf("writing the cluster's first records: %s: %s", result.GetCode(), result.GetMessage())
		}
	}
	return n.layout.founded()
}
