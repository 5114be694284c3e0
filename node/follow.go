package node

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/feed"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// voters are the nodes to ask for the state and to send writes to: those whose
// record says so, else those that were voters when this node joined.
func (n *Node) voters() []spec.NodeID {
	var out []spec.NodeID
	for _, r := range n.state.Nodes() {
		if hasRole(r, spec.RoleVoter) && r.GetState() != wire.NodeState_NODE_STATE_REMOVED && r.GetId() != string(n.id) {
			out = append(out, spec.NodeID(r.GetId()))
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, p := range n.member.Peers {
		if p.Voter {
			out = append(out, spec.NodeID(p.ID))
		}
	}
	return out
}

func hasRole(r *wire.Node, role spec.Role) bool {
	for _, have := range r.GetRoles() {
		if have == string(role) {
			return true
		}
	}
	return false
}

func (n *Node) startFollower() error {
	n.follower = feed.Follow(feed.Config{Port: n.port, Voters: n.voters, Store: n.state, Level: FeatureLevel, Log: n.log})
	n.follower.Start()
	n.onStop("state feed", n.follower.Shutdown)
	return nil
}

// spare follows the feed while this voter is no Raft server yet: the leader
// takes in three, the others stand by with a current copy of the state.
func (n *Node) spare(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var following *feed.Follower
	for {
		switch in := n.raft.InConfiguration(); {
		case in && following != nil:
			n.endFollowing(ctx, following)
			following = nil
		case !in && following == nil:
			following = feed.Follow(feed.Config{Port: n.port, Voters: n.voters, Store: n.state, Level: FeatureLevel, Log: n.log})
			following.Start()
			n.spareFeed.Store(following)
		}
		select {
		case <-ctx.Done():
			if following != nil {
				n.endFollowing(context.WithoutCancel(ctx), following)
			}
			return
		case <-tick.C:
		}
	}
}

func (n *Node) endFollowing(ctx context.Context, f *feed.Follower) {
	if age := f.Age(); age < feed.Unknown {
		n.raft.Confirm(time.Now().Add(-age)) // until Raft knows by itself
	}
	n.spareFeed.Store(nil)
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := f.Shutdown(limit); err != nil {
		n.log.Warn("the state feed did not end in time", "error", err)
	}
}

// following is why this node's copy of the state is not kept up by the feed, or
// nil: it is, or does not come by the feed.
func (n *Node) following() error {
	if n.follower != nil {
		return n.follower.Trouble()
	}
	if f := n.spareFeed.Load(); f != nil {
		return f.Trouble()
	}
	return nil
}

// stateAge is how long ago this node's copy of the state was known to be the newest.
func (n *Node) stateAge() time.Duration {
	if n.follower != nil {
		return n.follower.Age()
	}
	if f := n.spareFeed.Load(); f != nil {
		return min(f.Age(), n.raft.Age()) // both speak of the one copy
	}
	return n.raft.Age()
}
