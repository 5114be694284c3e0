package consensus

import (
	"context"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Members are the group's servers.
type Members struct {
	Voters []spec.NodeID
	Spares []spec.NodeID // have the log and no vote
}

func membersOf(s standing) Members {
	return Members{Voters: s.Voters, Spares: slices.DeleteFunc(s.Servers, func(id spec.NodeID) bool { return slices.Contains(s.Voters, id) })}
}

// Members tells who the servers are: as this server knows, or where it is none, as
// the leader says. They are empty where no leader answers.
func (c *Consensus) Members(ctx context.Context) Members {
	if c.InConfiguration() {
		return membersOf(c.standing())
	}
	return c.asker.Members(ctx)
}

// Members asks the leader who the servers are. They are empty where none answers.
func (f *Forwarder) Members(ctx context.Context) Members {
	leader, ok := f.find(ctx)
	if !ok {
		return Members{}
	}
	ctx, cancel := context.WithTimeout(ctx, hintTimeout)
	defer cancel()
	s, err := f.caller.leader(ctx, leader)
	if err != nil || len(s.Voters) == 0 { // an older build does not tell
		return Members{}
	}
	return membersOf(s)
}
