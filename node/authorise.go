package node

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/join"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
)

func peerOf(r *http.Request) (spec.NodeID, bool) {
	p, ok := transport.PeerOf(r)
	return p.ID, ok
}

var errNotGateway = errors.New("its certificate is not a gateway's")

// mayInfer holds the data plane to gateways.
func mayInfer(r *http.Request) error {
	if p, ok := transport.PeerOf(r); !ok || !slices.Contains(p.Roles, spec.RoleGateway) {
		return errNotGateway
	}
	return nil
}

// authorise tells the leader why another node may not write what it asks for.
func (n *Node) authorise(r *http.Request, c *wire.Command) error {
	peer, ok := transport.PeerOf(r)
	if !ok {
		return errors.New("the connection has no node's certificate")
	}
	err := mayPropose(peer, c)
	if err != nil {
		n.log.Warn("a command of another node was refused", "peer", peer.ID, "error", err)
	}
	return err
}

// mayPropose goes by the certificate. Voters write everything. A gateway writes
// what its admin API offers to those whose keys it has checked, and what its own
// requests have used; a worker, what is spent of the budgets that it owns. Beyond that, a
// node writes its own record, and gives itself there no role that its
// certificate has not: the leader takes voters in by their records.
func mayPropose(peer transport.Peer, c *wire.Command) error {
	if slices.Contains(peer.Roles, spec.RoleVoter) {
		return nil
	}
	gateway := slices.Contains(peer.Roles, spec.RoleGateway)
	// A request id that is another's would have the other's write answered by this
	// one's result: that of a join, say, which would then spend no use of its token.
	if owner, _, scoped := strings.Cut(c.GetRequestId(), "/"); scoped && (!gateway || owner != "gw" && owner != "key") {
		return errors.New("the request id is not one for its role to use")
	}
	if own := c.GetPutNode().GetNode(); own != nil && own.GetId() == string(peer.ID) {
		for _, role := range own.GetRoles() {
			if !slices.Contains(peer.Roles, spec.Role(role)) {
				return errors.New("its certificate does not give it the role " + role)
			}
		}
		return nil
	}
	if c.GetPutBudgets() != nil && slices.Contains(peer.Roles, spec.RoleWorker) {
		return nil // it owns limits
	}
	if !gateway {
		return errors.New("a worker may write its own record alone")
	}
	if used := c.GetPutUsage(); used != nil && used.GetGateway() == string(peer.ID) {
		return nil
	}
	return mayAdminister(c)
}

// mayAdminister tells whether the command is one of the admin API's. Sessions are
// not: the voters open them, on a password or a refresh token that they have checked.
func mayAdminister(c *wire.Command) error {
	switch b := c.GetBody().(type) {
	case *wire.Command_PutKey, *wire.Command_ChangeKey, *wire.Command_RotateKey, *wire.Command_RevokeKey, *wire.Command_TouchKeys,
		*wire.Command_PutTenant, *wire.Command_RemoveTenant,
		*wire.Command_PutUser, *wire.Command_RemoveUser, *wire.Command_PutRole, *wire.Command_RemoveRole,
		*wire.Command_PutBinding, *wire.Command_RemoveBinding, *wire.Command_RevokeSession, *wire.Command_NoteAudit,
		*wire.Command_PutDeployment, *wire.Command_RemoveDeployment, *wire.Command_PutCanary, *wire.Command_EndCanary, *wire.Command_PutModel, *wire.Command_RemoveModel,
		*wire.Command_PutToken, *wire.Command_RevokeToken, *wire.Command_SetNodeState:
		return nil
	case *wire.Command_PutSetting:
		return ofOperators(b.PutSetting.GetName())
	case *wire.Command_RemoveSetting:
		return ofOperators(b.RemoveSetting.GetName())
	case *wire.Command_PutSecret:
		if b.PutSecret.GetSecret().GetName() == spec.OIDCClientSecret {
			return nil
		}
	}
	return errors.New("a gateway may write what its admin API offers, and its own record")
}

// ofOperators keeps the settings that the cluster writes for itself from others.
func ofOperators(setting string) error {
	if strings.HasPrefix(setting, "cluster/") {
		return errors.New("the cluster writes the setting " + setting + " by itself")
	}
	return nil
}

// inTime keeps those whose certificate has expired to what renews it: any may
// ask for another, and voters may do what it takes to have one signed. What else
// is under way when it expires, such as the state feed, ends then.
func inTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := transport.PeerOf(r)
		if ok && !p.Until.IsZero() && !renews(p, r.URL.Path) {
			ctx, cancel := context.WithDeadline(r.Context(), p.Until)
			defer cancel()
			r = r.WithContext(ctx)
		}
		if ok && p.Expired && !renews(p, r.URL.Path) {
			w.Header().Set("Connection", "close") // the next one may come with a new certificate
			http.Error(w, "the peer's certificate has expired: it may renew it, and nothing else", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func renews(p transport.Peer, path string) bool {
	switch path {
	case "/renew":
		return true
	case "/propose", "/read-index", "/leader":
		return slices.Contains(p.Roles, spec.RoleVoter)
	}
	return false
}

// joinConfig is how this node takes others in, or passes them on to one that can.
func (n *Node) joinConfig() join.Config {
	return join.Config{
		Cluster: n.member.Cluster, GossipKey: n.member.GossipKey, Identity: n.identity, Self: n.id,
		State: n.state, Propose: n.proposer.Propose, Barrier: n.barrier, Client: n.port.Client, Voters: n.voters,
		Peer: func(r *http.Request) (spec.NodeID, []spec.Role, bool) {
			p, ok := transport.PeerOf(r)
			return p.ID, p.Roles, ok
		},
		SecretName: authoritySecret, TTL: certificateLife, Clock: time.Now, Log: n.log,
	}
}

// barrier returns when this node's state has all that was agreed when it was called.
func (n *Node) barrier(ctx context.Context) error {
	if n.raft == nil || !n.raft.InConfiguration() {
		return errors.New("this node is no Raft server")
	}
	return n.raft.Barrier(ctx)
}
