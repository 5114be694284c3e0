package session

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// State is what the server reads of the agreed state. Records are read only.
type State interface {
	Index() uint64 // up to which the rest has everything, at least
	Secret(name string) (*wire.Secret, bool)
	Setting(name string) (string, bool)
	Nodes() []*wire.Node
	User(id string) (*wire.User, bool)
	UserByName(name string) (*wire.User, bool)
	UserBySubject(issuer, subject string) (*wire.User, bool)
	Session(id string) (*wire.Session, bool)
}

// Config is what a Server works with.
type Config struct {
	Cluster  string        // the cluster's id: the audience of access tokens
	Identity *pki.Identity // opens what is sealed to this node
	Self     spec.NodeID
	State    State
	// Propose is consensus's: the same command proposed again is applied once.
	Propose func(context.Context, *wire.Command) (*wire.Result, error)
	// Barrier returns once State has all that was agreed when it was called, or
	// why it cannot: then another voter is asked.
	Barrier func(context.Context) error
	Leader  func() bool // whether this node leads, as far as it knows
	// HTTP reaches the OIDC provider; nil: a client of the package's own.
	HTTP       *http.Client
	Clock      func() time.Time
	Log        *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// A Server opens and refreshes sessions.
type Server struct {
	cfg       Config
	metrics   *metrics
	passwords *hasher
	discover  singleflight.Group
	mu        struct {
		sync.Mutex
		ring     *keyring  // as last opened
		provider *provider // as last discovered
	}
}

// NewServer returns a server; it runs nothing of its own.
func NewServer(c Config) *Server {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: providerTimeout}
	}
	c.HTTP = bounded(c.HTTP)
	m := newMetrics(c.Registerer)
	return &Server{cfg: c, metrics: m, passwords: newHasher(m)}
}

// current brings this node's state up to date and opens the signing keys. Where it
// cannot, its error is of CodeNotReady: nothing was begun, and another voter may do better.
func (s *Server) current(ctx context.Context) (*keyring, error) {
	waiting, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	if err := s.cfg.Barrier(waiting); err != nil {
		return nil, &spec.Error{Code: spec.CodeNotReady, Message: "Node " + string(s.cfg.Self) + " cannot tell whether its state is the newest.", Err: err}
	}
	return s.keys()
}

// keys opens the signing keys as this node's state has them.
func (s *Server) keys() (*keyring, error) {
	sealed, ok := s.cfg.State.Secret(spec.SessionSigningSecret)
	if !ok {
		return nil, spec.Errorf(spec.CodeNotReady, "The keys that sign access tokens have not been made yet.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ring != nil && s.mu.ring.version == sealed.GetVersion() {
		return s.mu.ring, nil
	}
	plain, err := s.cfg.Identity.OpenSecret(sealed, s.cfg.Self)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeNotReady, Message: "Node " + string(s.cfg.Self) + " cannot open the keys that sign access tokens.", Err: err}
	}
	defer clear(plain)
	ring, err := parseKeyring(sealed.GetVersion(), plain)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The keys that sign access tokens are damaged.", Err: err}
	}
	s.mu.ring = ring
	return ring, nil
}

// propose has the cluster agree on the command, in the name of principal who asks
// from that address. A refusal is an error.
func (s *Server) propose(ctx context.Context, principal, from string, c *wire.Command) (*wire.Result, error) {
	c.AtMs, c.Principal, c.From = s.cfg.Clock().UnixMilli(), principal, from
	result, err := s.cfg.Propose(ctx, c)
	for range proposals - 1 {
		if spec.CodeOf(err) != spec.CodeOutcomeUnknown || ctx.Err() != nil { // nil has not that code either
			break
		}
		result, err = s.cfg.Propose(ctx, c)
	}
	if err != nil {
		return nil, asSpec(err)
	}
	if result.GetCode() != "" {
		return nil, &spec.Error{Code: spec.Code(result.GetCode()), Message: sentence(result.GetMessage())}
	}
	return result, nil
}

// barrierTimeout is short: a voter that the others do not hear lets another answer.
const barrierTimeout = 3 * time.Second

// proposals is how often a write is asked for whose outcome is not known.
const proposals = 3
