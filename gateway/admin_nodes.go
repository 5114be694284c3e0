package gateway

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// elsewhere refuses what this process has no part for, as a sidecar.
func (r *request) elsewhere(what string) error {
	return &spec.Error{Code: spec.CodeNotFound, Message: "This gateway cannot " + what + ".", Hint: "Ask a node of the cluster."}
}

func (r *request) status() (*Status, error) {
	if r.g.cfg.Cluster == nil {
		return nil, r.elsewhere("tell the cluster's status")
	}
	ctx, cancel := r.operate()
	defer cancel()
	return r.g.cfg.Cluster.Status(ctx)
}

func status(r *request) error {
	s, err := r.status()
	if err != nil {
		return err
	}
	out := *s
	out.Nodes, out.Regions = full(slices.Clone(s.Nodes)), full(s.Regions)
	for i := range out.Nodes {
		out.Nodes[i] = out.Nodes[i].whole()
	}
	out.Devices, out.Instances, out.Transfers = full(s.Devices), full(s.Instances), full(s.Transfers)
	return r.json(200, out)
}

// full makes an absent list an empty one.
func full[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// showState tells the hash of the whole state: equal on all nodes at equal indexes.
func showState(r *request) error {
	if r.g.cfg.Hash == nil {
		return r.elsewhere("tell the state's hash")
	}
	sum, index := r.g.cfg.Hash()
	return r.json(200, struct {
		Index uint64 `json:"index"`
		Hash  string `json:"hash"`
	}{index, hex.EncodeToString(sum)})
}

func listNodes(r *request) error {
	s, err := r.status()
	if err != nil {
		return err
	}
	return list(r, s.Nodes, func(n NodeStatus) string { return n.ID }, func(n NodeStatus) NodeStatus {
		return n.whole()
	})
}

// whole is the node without absent lists.
func (n NodeStatus) whole() NodeStatus {
	n.Roles, n.Presets = full(n.Roles), full(slices.Clone(n.Presets))
	for i := range n.Presets {
		n.Presets[i].Capabilities = full(n.Presets[i].Capabilities)
	}
	return n
}

type nodeView struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// knownNode is the node that the path names.
func (r *request) knownNode() (spec.NodeID, error) {
	id := r.param("id")
	_, ok := r.g.cfg.State.Node(id)
	if !ok && r.g.cfg.Barrier != nil { // it may have joined a moment ago
		if _, err := r.newest(); err != nil {
			return "", err
		}
		_, ok = r.g.cfg.State.Node(id)
	}
	if !ok {
		return "", spec.Errorf(spec.CodeNotFound, "There is no node %q.", clip(id, 100))
	}
	return spec.NodeID(id), nil
}

func drainNode(r *request) error {
	id, err := r.knownNode()
	if err != nil {
		return err
	}
	if r.g.cfg.Cluster == nil {
		return r.elsewhere("drain nodes")
	}
	ctx, cancel := r.operate()
	defer cancel()
	if err := r.g.cfg.Cluster.Drain(ctx, id); err != nil {
		return err
	}
	r.wrote()
	return r.json(200, nodeView{string(id), "draining"})
}

func resumeNode(r *request) error {
	id, err := r.knownNode()
	if err != nil {
		return err
	}
	if r.g.cfg.Cluster == nil {
		return r.elsewhere("resume nodes")
	}
	ctx, cancel := r.operate()
	defer cancel()
	if err := r.g.cfg.Cluster.Resume(ctx, id); err != nil {
		return err
	}
	r.wrote()
	return r.json(200, nodeView{string(id), "active"})
}

// removeNode takes a node out for good: its certificate is refused from then on.
func removeNode(r *request) error {
	id, err := r.knownNode()
	if err != nil {
		return err
	}
	_, err = r.propose(&wire.Command{Body: &wire.Command_SetNodeState{SetNodeState: &wire.SetNodeState{
		Id: string(id), State: wire.NodeState_NODE_STATE_REMOVED}}})
	if err != nil {
		return err
	}
	return r.json(200, nodeView{string(id), "removed"})
}

func transferLeadership(r *request) error {
	if r.g.cfg.Cluster == nil {
		return r.elsewhere("move the leadership")
	}
	ctx, cancel := r.operate()
	defer cancel()
	if err := r.g.cfg.Cluster.TransferLeadership(ctx); err != nil {
		return err
	}
	r.did("leadership.transfer", "cluster")
	return r.json(200, struct {
		Transferred bool `json:"transferred"`
	}{true})
}

// A tokenView is a join token without its secret.
type tokenView struct {
	ID        string `json:"id"`
	Role      string `json:"role"`
	UsesLeft  uint32 `json:"uses_left"`
	CreatedMS int64  `json:"created_ms"`
	ExpiresMS int64  `json:"expires_ms"`
	RevokedMS int64  `json:"revoked_ms"`
}

func listTokens(r *request) error {
	return onePage(r, listing[*wire.JoinToken, tokenView]{
		id: (*wire.JoinToken).GetId, sees: func(*wire.JoinToken) bool { return true },
		show: func(t *wire.JoinToken) tokenView {
			return tokenView{t.GetId(), t.GetRole(), t.GetUsesLeft(), t.GetCreatedMs(), t.GetExpiresMs(), t.GetRevokedMs()}
		},
	}, []walk[*wire.JoinToken]{r.g.cfg.State.TokensPage})
}

// revokeToken ends a join token; nodes that have joined under it stay.
func revokeToken(r *request) error {
	id := r.param("id")
	_, err := r.propose(&wire.Command{Body: &wire.Command_RevokeToken{RevokeToken: &wire.RevokeToken{Id: id}}})
	return r.removed(id, err)
}

type tokenForm struct {
	Role string  `json:"role"`
	Uses *uint32 `json:"uses"`
	TTL  *int64  `json:"ttl_seconds"`
}

const (
	usualTokenTTL = 3600           // seconds
	maxTokenTTL   = 30 * 24 * 3600 // seconds
	maxTokenUses  = 10_000
)

func createToken(r *request) error {
	ask := tokenForm{}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	uses, ttl := uint32(1), int64(usualTokenTTL)
	if ask.Uses != nil {
		uses = *ask.Uses
	}
	if ask.TTL != nil {
		ttl = *ask.TTL
	}
	f.check(spec.ValidRole(spec.Role(ask.Role)), "role", "must be voter, worker or gateway")
	f.check(uses >= 1 && uses <= maxTokenUses, "uses", "must be a number from 1 to 10000")
	f.check(ttl >= 1 && ttl <= maxTokenTTL, "ttl_seconds", "must be a number from 1 to 2592000, which is 30 days")
	if err := f.err(); err != nil {
		return err
	}
	if r.g.cfg.Tokens == nil {
		return r.elsewhere("make join tokens")
	}
	ctx, cancel := r.operate()
	defer cancel()
	text, t, err := r.g.cfg.Tokens.Create(ctx, spec.Role(ask.Role), time.Duration(ttl)*time.Second, int(uses))
	if err != nil {
		return err
	}
	r.wrote()
	return r.json(201, struct {
		ID        string `json:"id"`
		Token     string `json:"token"` // shown once
		Role      string `json:"role"`
		Uses      uint32 `json:"uses"`
		ExpiresMS int64  `json:"expires_ms"`
	}{t.GetId(), text, t.GetRole(), t.GetUsesLeft(), t.GetExpiresMs()})
}
