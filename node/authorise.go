package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/join"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
)

// maxCommand bounds a forwarded command, bytes. A model's record has 32 bytes a chunk.
const maxCommand = 16 << 20

func peerOf(r *http.Request) (spec.NodeID, bool) {
	p, ok := transport.PeerOf(r)
	return p.ID, ok
}

// mayInfer holds the data plane to gateways.
func mayInfer(r *http.Request) error {
	if p, ok := transport.PeerOf(r); !ok || !slices.Contains(p.Roles, spec.RoleGateway) {
		return errors.New("its certificate is not a gateway's")
	}
	return nil
}

// authorised lets commands of other nodes through to next. Gateways and voters
// write for those whose keys they have checked; a node that is neither writes
// of itself alone.
func (n *Node) authorised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := transport.PeerOf(r)
		if !ok {
			http.Error(w, "the connection has no node's certificate", http.StatusForbidden)
			return
		}
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
		if err != nil {
			http.Error(w, "the command cannot be read: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := mayPropose(peer, raw); err != nil {
			n.log.Warn("a command of another node was refused", "peer", peer.ID, "error", err)
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		next.ServeHTTP(w, r)
	})
}

func mayPropose(peer transport.Peer, raw []byte) error {
	if slices.Contains(peer.Roles, spec.RoleGateway) || slices.Contains(peer.Roles, spec.RoleVoter) {
		return nil
	}
	c := &wire.Command{}
	if err := proto.Unmarshal(raw, c); err != nil {
		return errors.New("the command does not parse")
	}
	if own := c.GetPutNode().GetNode(); own == nil || own.GetId() != string(peer.ID) {
		return errors.New("a worker may write its own record alone")
	}
	return nil
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
