package node

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/lotabots/lotabots/cluster/session"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// startSessions opens sessions for gateways, on nodes that may open the keys
// which sign access tokens.
func (n *Node) startSessions(mux *http.ServeMux) {
	if n.raft == nil {
		return
	}
	n.sessions = session.NewServer(session.Config{
		Cluster: n.member.Cluster, Identity: n.identity, Self: n.id, State: n.state,
		Propose: n.proposer.Propose, Barrier: n.Barrier, Leader: n.raft.IsLeader,
		Log: n.log, Registerer: n.metrics,
	})
	mux.Handle("/session/", forGateways(n.sessions.Handler()))
	n.background("session keys", n.sessions.Maintain)
}

// forGateways keeps whoever is no gateway out: only they check passwords' senders
// and slow down those that guess.
func forGateways(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := transport.PeerOf(r); !ok || !slices.Contains(p.Roles, spec.RoleGateway) {
			http.Error(w, "the peer's certificate is not a gateway's", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// issuer is what opens sessions for this node's gateway: itself, or a voter.
func (n *Node) issuer() gateway.Sessions {
	return session.NewClient(session.ClientConfig{
		Local: n.sessions, Client: n.port.Client, Voters: n.voters, Prefer: n.leaderHint, Log: n.log,
	})
}

// sealed seals what only voters may open.
func (n *Node) sealed(name string, plain []byte) (*wire.Secret, error) {
	return session.SealToVoters(name, plain, n.state.Nodes())
}

// proxies are the ranges of api.trusted-proxies, which the configuration has checked.
func proxies(ranges []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(ranges))
	for _, r := range ranges {
		if p, err := netip.ParsePrefix(r); err == nil {
			out = append(out, p)
		}
	}
	return out
}
