package actors

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/asynkron/protoactor-go/remote"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A guard stands between other nodes and protoactor's remote, which trusts its
// peers: it would pass any message to any process, index arrays as told, crash on
// types it does not know and forward what is addressed elsewhere. What a peer
// sends is checked, and rewritten where the certificate knows better, before the
// library sees it; a peer that breaks the rules loses its connection.
type guard struct {
	self    string // this node's address
	devices map[string]bool
	address func(spec.NodeID) (string, bool)
	roles   func(spec.NodeID) []spec.Role // nil: those of the certificate
	met     func(spec.NodeID, string)     // a peer that may be answered, and where
	refused *prometheus.CounterVec
	log     *slog.Logger
}

// stream is the interceptor of the one stream that the library serves.
func (g *guard) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	m, err := peerOf(ss.Context())
	if err != nil {
		g.refused.WithLabelValues("certificate").Inc()
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			g.refused.WithLabelValues("panic").Inc()
			g.log.Error("panic while reading another node's messages", "peer", m.id, "panic", p, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "the message could not be handled")
		}
	}()
	return handler(srv, &guarded{ServerStream: ss, guard: g, peer: m})
}

// unary refuses every call: the library answers two that would end the process.
func (g *guard) unary(ctx context.Context, _ any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	g.refused.WithLabelValues("call").Inc()
	m, _ := peerOf(ctx)
	g.log.Warn("a call of another node was refused", "peer", m.id, "method", info.FullMethod)
	return nil, status.Error(codes.PermissionDenied, "this call is not served")
}

func peerOf(ctx context.Context) (member, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if secured, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			if m, ok := memberOf(secured.State); ok {
				return m, nil
			}
		}
	}
	return member{}, status.Error(codes.Unauthenticated, "the connection has no member's certificate")
}

// voter tells whether the peer may command devices.
func (g *guard) voter(m member) bool {
	if !slices.Contains(m.roles, spec.RoleVoter) {
		return false
	}
	return g.roles == nil || slices.Contains(g.roles(m.id), spec.RoleVoter)
}

// guarded is a stream of which the library reads only what the guard lets through.
type guarded struct {
	grpc.ServerStream
	guard *guard
	peer  member
}

func (s *guarded) RecvMsg(m any) error {
	for {
		if err := s.ServerStream.RecvMsg(m); err != nil {
			return err
		}
		message, ok := m.(*remote.RemoteMessage)
		if !ok {
			return status.Error(codes.InvalidArgument, "not a message of the actor protocol")
		}
		err := s.guard.inspect(s.peer, message)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errNothingLeft):
			continue
		}
		s.guard.refused.WithLabelValues("violation").Inc()
		s.guard.log.Warn("another node's stream of messages is cut", "peer", s.peer.id, "reason", err)
		return status.Error(codes.PermissionDenied, err.Error())
	}
}
