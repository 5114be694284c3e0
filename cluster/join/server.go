package join

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// State is what the server reads of the agreed state.
type State interface {
	Secret(name string) (*wire.Secret, bool)
	Token(id string) (*wire.JoinToken, bool)
	Node(id string) (*wire.Node, bool)
	Nodes() []*wire.Node
	Needs() uint64 // feature level of the newest command applied
}

// Config is what a Server works with.
type Config struct {
	Cluster   string // the cluster's id
	GossipKey []byte
	Identity  *pki.Identity
	Self      spec.NodeID
	State     State
	Propose   func(context.Context, *wire.Command) (*wire.Result, error)
	// Barrier returns once State has all that was agreed when it was called, or
	// why it cannot: then another voter is asked.
	Barrier func(context.Context) error
	// Client reaches other nodes: http://NODE-ID/path over that protocol.
	Client func(proto string) *http.Client
	Voters func() []spec.NodeID // without Self
	// Peer tells whose certificate a request came with.
	Peer       func(*http.Request) (spec.NodeID, []spec.Role, bool)
	SecretName string        // of the sealed authority key
	TTL        time.Duration // of the certificates
	Clock      func() time.Time
	Log        *slog.Logger // nil: none
}

const (
	maxBody       = 64 << 10
	answerTimeout = 10 * time.Second
	tokenLag      = time.Second // by which a follower's state may be behind, in good order
	joinsAtOnce   = 8
	joinsPerSec   = 20
	joinsBurst    = 40
	contentType   = "application/x-protobuf"
)

// A Server answers those who join and those who renew.
type Server struct {
	cfg   Config
	rate  *rate
	slots chan struct{}
}

// NewServer returns a server; it runs nothing of its own.
func NewServer(c Config) *Server {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: c, rate: newRate(joinsPerSec, joinsBurst), slots: make(chan struct{}, joinsAtOnce)}
}

// Handler serves POST /join and GET /join-voters to everybody, POST /join-forward
// to voters and POST /renew to members.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /join", s.outside(s.join))
	mux.HandleFunc("GET /join-voters", s.outside(s.voters))
	mux.HandleFunc("POST /join-forward", s.forwarded)
	mux.HandleFunc("POST /renew", s.renew)
	return mux
}

// outside bounds what strangers can make the node do.
func (s *Server) outside(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.rate.take(time.Now()) {
			answer(w, refusal(spec.Errorf(spec.CodeRateLimited, "Too many nodes are joining at this moment. Try again in a second.")))
			return
		}
		next(w, r)
	}
}

func (s *Server) join(w http.ResponseWriter, r *http.Request) {
	req, err := readRequest(w, r)
	if err != nil {
		answer(w, refusal(err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		answer(w, refusal(spec.Errorf(spec.CodeRateLimited, "Too many nodes are joining at this moment.")))
		return
	}
	if authority, err := s.signer(ctx); err == nil {
		answer(w, s.answerTo(ctx, authority, req))
		return
	}
	answer(w, s.forward(ctx, req))
}

func (s *Server) forwarded(w http.ResponseWriter, r *http.Request) {
	peer, roles, ok := s.cfg.Peer(r)
	if !ok || !slices.Contains(roles, spec.RoleVoter) {
		answer(w, refusal(spec.Errorf(spec.CodeForbidden, "Only voters pass requests to join on.")))
		return
	}
	req, err := readRequest(w, r)
	if err != nil {
		answer(w, refusal(err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	authority, err := s.signer(ctx)
	if err != nil {
		s.cfg.Log.Info("cannot take a node in here", "from", peer, "error", err)
		answer(w, refusal(err))
		return
	}
	answer(w, s.answerTo(ctx, authority, req))
}

// answerTo takes the node in, or says why not.
func (s *Server) answerTo(ctx context.Context, authority *pki.Authority, req *wire.JoinRequest) *wire.JoinResponse {
	resp, err := s.take(ctx, authority, req)
	if err != nil {
		s.cfg.Log.Warn("a node was not taken in", "node", req.GetNode().GetId(), "token", req.GetTokenId(), "error", err)
		return refusal(err)
	}
	s.cfg.Log.Info("a node was taken in", "node", req.GetNode().GetId(), "roles", req.GetNode().GetRoles(), "token", req.GetTokenId())
	return resp
}

// voters tells a joiner with the id of a known token where the voters are.
func (s *Server) voters(w http.ResponseWriter, r *http.Request) {
	if !s.knows(r.Context(), r.URL.Query().Get("token")) {
		answer(w, refusal(spec.Errorf(spec.CodeTokenInvalid, "This node knows no such join token.")))
		return
	}
	resp := &wire.JoinResponse{ClusterId: s.cfg.Cluster}
	for _, n := range s.cfg.State.Nodes() {
		if n.GetState() != wire.NodeState_NODE_STATE_REMOVED && slices.Contains(n.GetRoles(), string(spec.RoleVoter)) {
			resp.Members = append(resp.Members, &wire.Member{Id: n.GetId(), Roles: n.GetRoles(), ClusterAddr: n.GetClusterAddr()})
		}
	}
	answer(w, resp)
}

// knows waits a moment for a token that this node may merely not have heard of yet.
func (s *Server) knows(ctx context.Context, token string) bool {
	ctx, cancel := context.WithTimeout(ctx, tokenLag)
	defer cancel()
	for {
		if _, ok := s.cfg.State.Token(token); ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(tokenLag / 20):
		}
	}
}

// readRequest takes the body apart. What it says is checked by take.
func readRequest(w http.ResponseWriter, r *http.Request) (*wire.JoinRequest, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The request to join could not be read.", Err: err}
	}
	return parseRequest(raw)
}

func parseRequest(raw []byte) (*wire.JoinRequest, error) {
	req := &wire.JoinRequest{}
	if err := proto.Unmarshal(raw, req); err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The request to join does not parse.", Err: err}
	}
	return req, nil
}

func answer(w http.ResponseWriter, resp *wire.JoinResponse) {
	raw, err := proto.Marshal(resp)
	if err != nil { // text that is not UTF-8, from an error
		raw, _ = proto.Marshal(&wire.JoinResponse{Code: string(spec.CodeInternal), Message: "The answer could not be encoded."})
	}
	w.Header().Set("Content-Type", contentType)
	if resp.GetCode() != "" {
		w.WriteHeader(spec.Code(resp.GetCode()).Lookup().Status)
	}
	_, _ = w.Write(raw)
}
