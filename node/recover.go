package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/config"
)

// recoveryGap is how far above everything known a recovery goes on: nobody has
// agreed on so many entries that the survivor lacks. Followers who have some of
// those are behind all the same, and take a snapshot that replaces them; epochs
// of placements, which are indexes, rise beyond all that were given.
const recoveryGap = 1 << 20

// A Recovery is what Recover has done, or would do.
type Recovery struct {
	Node    string
	Cluster string
	Index   uint64   // of the newest entry that this node has: the survivor with the highest is to be recovered
	Term    uint64   // of it, or higher
	Removed []string // the other voters, who may only join again
	Epoch   uint64   // of the recovery; 0 with DryRun
	At      uint64   // the index that the cluster goes on from; 0 with DryRun
	Warning string   // what will not work afterwards
}

// Recover makes a surviving server, which does not run, the only voter: the other
// voters are removed from the cluster. Spares stay members: they have no vote to
// do harm with, and follow the survivor. With dry it only looks.
func Recover(c config.Config, dry bool, logs io.Writer) (r *Recovery, err error) {
	l := layout{c.Node.Data}
	m, err := l.loadMembership()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.database()); err != nil {
		return nil, err
	}
	command, err := l.underWay()
	if err != nil {
		return nil, err
	}
	if command != "" && command != "recover" {
		return nil, l.checkWhole()
	}
	identity, err := pki.OpenIdentity(l.identity())
	if err != nil {
		return nil, err
	}
	g, err := l.openGround(c, offlineLogger(logs, c))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	s, err := consensus.Examine(g.Ground)
	if err != nil {
		return nil, err
	}
	r = &Recovery{Node: c.Node.ID, Cluster: m.Cluster, Index: s.Index, Term: s.Term, Removed: others(s, g.ID)}
	if !slices.Contains(s.Servers, g.ID) {
		return nil, spec.Errorf(spec.CodeConflict, "Node %s is not one of the Raft servers that it knows of, %v: recover one that is.", g.ID, s.Servers)
	}
	if len(r.Removed) == 0 && command == "" {
		return nil, spec.Errorf(spec.CodeConflict, "Node %s is the only voter already: there is nothing to recover. Start it with lotabots node run.", g.ID)
	}
	if sealed, ok := g.state.Secret(authoritySecret); !ok || !opens(identity, sealed, g.ID) {
		r.Warning = "this node cannot open the key of the cluster's authority: nobody will be able to join. Recover another survivor, or restore a backup"
	}
	if dry {
		return r, nil
	}
	return r, l.recover(g, r)
}

func others(s consensus.Standing, self spec.NodeID) []string {
	var out []string
	for _, id := range s.Voters {
		if id != self {
			out = append(out, string(id))
		}
	}
	slices.Sort(out)
	return out
}

func opens(i *pki.Identity, s *wire.Secret, as spec.NodeID) bool {
	key, err := i.OpenSecret(s, as)
	clear(key)
	return err == nil
}

func (l layout) recover(g *ground, r *Recovery) error {
	if err := l.begin("recover"); err != nil {
		return err
	}
	var err error
	r.At, err = consensus.StandAlone(g.Ground, recoveryGap, func() ([]*wire.Command, error) {
		self, ok := g.state.Node(r.Node)
		if !ok || self.GetState() == wire.NodeState_NODE_STATE_REMOVED {
			return nil, spec.Errorf(spec.CodeNodeRemoved, "Node %s was removed from the cluster: recover another survivor.", r.Node)
		}
		r.Epoch = epochOf(g.state) + 1
		return g.giveUp(r), nil
	})
	if err != nil {
		return err
	}
	return l.finish()
}

// giveUp are the commands that remove the others, raise the fence and end the sessions.
func (g *ground) giveUp(r *Recovery) []*wire.Command {
	now := time.Now()
	out := []*wire.Command{{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{
		Name: epochSetting, Value: fmt.Sprintf("%d %s %s", r.Epoch, r.Node, now.UTC().Format(time.RFC3339)),
	}}}, g.endSessions(now)}
	for _, id := range r.Removed {
		if _, known := g.state.Node(id); known {
			out = append(out, removal(id))
		}
	}
	// Those that come back may be of an older build.
	return ofLevel(max(consensus.Least(g.state.Nodes()), uint32(g.state.Needs())), stamped(out, "recover", now))
}

func removal(id string) *wire.Command {
	return &wire.Command{Body: &wire.Command_SetNodeState{SetNodeState: &wire.SetNodeState{Id: id, State: wire.NodeState_NODE_STATE_REMOVED}}}
}

// ofLevel has the commands applied as the builds of that feature level do.
func ofLevel(level uint32, commands []*wire.Command) []*wire.Command {
	for _, c := range commands {
		c.Level = level
	}
	return commands
}

// stamped completes commands that no gateway has made, but for their level.
func stamped(commands []*wire.Command, principal string, now time.Time) []*wire.Command {
	id := rand.Text()
	for i, c := range commands {
		c.RequestId, c.AtMs, c.Principal = fmt.Sprintf("%s/%s/%d", principal, id, i), now.UnixMilli(), principal
	}
	return commands
}
