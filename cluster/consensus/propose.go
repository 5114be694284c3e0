package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// maxCommand bounds an encoded command, in bytes.
const maxCommand = 16 << 20

// stamp fills in what the proposer has left empty, and encodes the command.
func stamp(c *wire.Command) ([]byte, error) {
	if c.GetBody() == nil {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "the command says nothing")
	}
	if c.RequestId == "" {
		c.RequestId = uuid.NewString()
	}
	if c.AtMs == 0 {
		c.AtMs = time.Now().UnixMilli()
	}
	c.Level = max(c.GetLevel(), wire.LevelOf(c))
	raw, err := proto.Marshal(c)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The command cannot be encoded.", Err: err}
	}
	if len(raw) > maxCommand {
		return nil, spec.Errorf(spec.CodeBodyTooLarge, "the command takes %d bytes, over the limit of %d", len(raw), maxCommand)
	}
	return raw, nil
}

// Least is the feature level that every member knows, and this build does too: the
// first one where there is no record yet to tell.
func Least(nodes []*wire.Node) uint32 {
	if len(nodes) == 0 {
		return 1
	}
	level := uint32(Level)
	for _, n := range nodes {
		if n.GetState() != wire.NodeState_NODE_STATE_REMOVED {
			level = min(level, max(n.GetLevel(), 1))
		}
	}
	return level
}

// raised is the command at the level that every member knows: what apply does
// beside carrying it out (the audit log is of level 2) is then the same on all of
// them, whatever their builds.
func (c *Consensus) raised(cmd *wire.Command, raw []byte) ([]byte, error) {
	level := max(Least(c.cfg.Nodes()), c.needs())
	if cmd.GetLevel() >= level {
		return raw, nil
	}
	cmd.Level = level
	raw, err := proto.Marshal(cmd)
	if err != nil {
		return nil, final(&spec.Error{Code: spec.CodeInvalidRequest, Message: "The command cannot be encoded.", Err: err})
	}
	return raw, nil
}

// Propose has the cluster agree on the command and returns what applying it
// answered, which may be a refusal (Result.Code). It asks the leader, and tries
// again with whoever leads next, until ctx ends or 10 s have passed: then its
// error is a *spec.Error of CodeNoLeader, where nothing can have happened, or of
// CodeOutcomeUnknown.
//
// An empty RequestId, AtMs or Level is filled in, in c itself: proposing the same
// c again, after an unknown outcome say, asks for the same thing once more and
// is answered as the first was.
func (c *Consensus) Propose(ctx context.Context, cmd *wire.Command) (*wire.Result, error) {
	raw, err := stamp(cmd)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	result, err := insist(ctx, "the write", func(ctx context.Context) (*wire.Result, error) {
		if c.IsLeader() {
			return c.apply(ctx, cmd, raw)
		}
		return atLeader(ctx, c, func(ctx context.Context, leader spec.NodeID) (*wire.Result, error) {
			return c.caller.propose(ctx, leader, raw)
		})
	})
	c.metrics.proposed(result, err, time.Since(began))
	return result, err
}

// apply proposes a command on the leader, once.
func (c *Consensus) apply(ctx context.Context, cmd *wire.Command, raw []byte) (*wire.Result, error) {
	if e := c.tooNew(cmd); e != nil {
		return nil, final(e)
	}
	raw, err := c.raised(cmd, raw)
	if err != nil {
		return nil, err
	}
	if id, ok := removes(cmd); ok {
		return c.remove(ctx, id, func() (*wire.Result, error) { return c.commit(ctx, raw) })
	}
	return c.commit(ctx, raw)
}

// commit has the encoded command in the log and applied.
func (c *Consensus) commit(ctx context.Context, raw []byte) (*wire.Result, error) {
	var response any
	err := c.ask(ctx, func() error {
		f := c.raft.Apply(raw, rpcTimeout)
		if err := f.Error(); err != nil {
			return err
		}
		response = f.Response()
		return nil
	})
	switch {
	case errors.Is(err, errFinal), errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return nil, err // never in the log
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errMaybe, err)
	}
	result, ok := response.(*wire.Result)
	if !ok {
		return nil, final(spec.Errorf(spec.CodeInternal, "the state machine answered %T", response))
	}
	return result, nil
}

// needs is the feature level that it takes to have the state as it is: the
// cluster's never falls below it, whoever joins.
func (c *Consensus) needs() uint32 {
	if c.cfg.Needs == nil {
		return 1
	}
	return min(max(1, uint32(c.cfg.Needs())), Level)
}

// tooNew refuses a command that a member could not apply: it would halt there.
func (c *Consensus) tooNew(cmd *wire.Command) *spec.Error {
	if cmd.GetBody() == nil {
		return spec.Errorf(spec.CodeFeatureLevel, "the leader's build does not know this command")
	}
	if cmd.GetLevel() > Level {
		return spec.Errorf(spec.CodeFeatureLevel, "the command needs feature level %d, the leader's build has %d", cmd.GetLevel(), Level)
	}
	if cmd.GetLevel() <= c.needs() {
		return nil // a member that could not apply it can follow the state no more anyway
	}
	for _, n := range c.cfg.Nodes() {
		if n.GetState() == wire.NodeState_NODE_STATE_REMOVED {
			continue
		}
		if level := max(n.GetLevel(), 1); cmd.GetLevel() > level {
			return spec.Errorf(spec.CodeFeatureLevel, "the command needs feature level %d, node %s has %d", cmd.GetLevel(), n.GetId(), level)
		}
	}
	return nil
}

// atLeader runs call against the leader that this node knows of, or against the
// next server where it knows none: one that is no Raft server, or that the others
// cannot reach, hears from no leader. The call is given up as soon as another
// leads: one that hangs would keep it for long.
func atLeader[T any](ctx context.Context, c *Consensus, call func(context.Context, spec.NodeID) (T, error)) (T, error) {
	var none T
	if c.run.Err() != nil {
		return none, errEnding
	}
	node, led := c.heardOf()
	if !led {
		var ok bool
		if node, ok = c.asker.pick(); !ok {
			return none, errNoLeader
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for sleep(ctx, 50*time.Millisecond) {
			if now, known := c.heardOf(); known && now != node || c.IsLeader() || c.run.Err() != nil {
				cancel()
			}
		}
	})
	v, err := call(ctx, node)
	cancel()
	watching.Wait()
	c.asker.heard(node, err)
	return v, err
}
