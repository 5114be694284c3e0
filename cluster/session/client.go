package session

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Protocol is that of the cluster port at which a node serves Handler.
const Protocol = "state"

// ClientConfig is what a Client works with.
type ClientConfig struct {
	// Local is this node's own Server, asked first; nil where it is no voter.
	Local *Server
	// Client reaches other nodes: http://NODE-ID/path over that protocol.
	Client func(proto string) *http.Client
	Voters func() []spec.NodeID // without this node
	// Prefer names the voter to ask first, the leader say; nil: none.
	Prefer func() (spec.NodeID, bool)
	Log    *slog.Logger // nil: none
}

// A Client has a voter do what Service offers. Where one cannot be reached, or
// says that it cannot at present, the next is asked; what may have been done is
// asked for again only where that does no harm.
type Client struct {
	cfg ClientConfig
}

// NewClient returns a client; it runs nothing of its own.
func NewClient(c ClientConfig) *Client {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: c}
}

func (c *Client) Login(ctx context.Context, r spec.Login) (*spec.Granted, error) {
	return nil, errUnready
}
func (c *Client) Refresh(ctx context.Context, r spec.Refresh) (*spec.Granted, error) {
	return nil, errUnready
}
func (c *Client) BeginSSO(ctx context.Context, r spec.SSOBegin) (*spec.SSOBegun, error) {
	return nil, errUnready
}
func (c *Client) FinishSSO(ctx context.Context, r spec.SSOFinish) (*spec.SSOFinished, error) {
	return nil, errUnready
}
func (c *Client) Exchange(ctx context.Context, r spec.Exchange) (*spec.Granted, error) {
	return nil, errUnready
}
func (c *Client) HashPassword(ctx context.Context, name, password string) (string, error) {
	return "", errUnready
}
