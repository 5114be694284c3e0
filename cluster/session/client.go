package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Protocol is that of the cluster port at which a node serves Handler.
const Protocol = "state"

const (
	maxAnswer      = 64 << 10
	attemptTimeout = 4 * time.Second // of what may be asked for again; two fit into the ten seconds of a refresh told again
)

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

// An operation is one that a voter does.
type operation struct {
	path string
	// again: it may be asked for again where it is not known whether it was done.
	again bool
	// passing are the refusals after which another voter may do better.
	passing []spec.Code
}

var unable = []spec.Code{spec.CodeNotReady, spec.CodeNoLeader, spec.CodeStaleState}

var (
	opLogin    = operation{path: "login", passing: append([]spec.Code{spec.CodeBusy}, unable...)}
	opRefresh  = operation{path: "refresh", again: true, passing: append([]spec.Code{spec.CodeOutcomeUnknown}, unable...)}
	opBegin    = operation{path: "sso/begin", again: true, passing: unable}
	opFinish   = operation{path: "sso/finish", passing: []spec.Code{spec.CodeNotReady}} // the provider takes a code once
	opExchange = operation{path: "exchange", passing: unable}
	opHash     = operation{path: "hash", again: true, passing: append([]spec.Code{spec.CodeBusy}, unable...)}
)

// Login opens a session by name and password.
func (c *Client) Login(ctx context.Context, r spec.Login) (*spec.Granted, error) {
	return call(ctx, c, opLogin, r, (*Server).Login)
}

// Refresh exchanges a refresh token for the next one.
func (c *Client) Refresh(ctx context.Context, r spec.Refresh) (*spec.Granted, error) {
	return call(ctx, c, opRefresh, r, (*Server).Refresh)
}

// BeginSSO says where a browser is to go.
func (c *Client) BeginSSO(ctx context.Context, r spec.SSOBegin) (*spec.SSOBegun, error) {
	return call(ctx, c, opBegin, r, (*Server).BeginSSO)
}

// FinishSSO takes what the provider's callback brought.
func (c *Client) FinishSSO(ctx context.Context, r spec.SSOFinish) (*spec.SSOFinished, error) {
	return call(ctx, c, opFinish, r, (*Server).FinishSSO)
}

// Exchange opens a session by a one-time code.
func (c *Client) Exchange(ctx context.Context, r spec.Exchange) (*spec.Granted, error) {
	return call(ctx, c, opExchange, r, (*Server).Exchange)
}

// HashPassword makes what the state keeps of a new password.
func (c *Client) HashPassword(ctx context.Context, name, text string) (string, error) {
	h, err := call(ctx, c, opHash, password{name, text}, (*Server).hash)
	if err != nil {
		return "", err
	}
	return h.Hash, nil
}

// errUnsent is wrapped where the request did not leave this node.
var errUnsent = errors.New("the request was not sent")

// call asks one voter after the other. Its errors are *spec.Error.
func call[In, Out any](ctx context.Context, c *Client, op operation, in In, local func(*Server, context.Context, In) (*Out, error)) (*Out, error) {
	last := &spec.Error{Code: spec.CodeNoLeader, Message: "No voter that can open sessions is known here."}
	if c.cfg.Local != nil {
		out, err := local(c.cfg.Local, ctx, in)
		if err == nil || !slices.Contains(op.passing, spec.CodeOf(err)) {
			return out, err
		}
		c.cfg.Log.Info("this node cannot do what is asked of sessions; another voter is asked", "operation", op.path, "error", err)
		last = outward(err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, invalid("", "The request cannot be encoded.")
	}
	for _, voter := range c.order() {
		out := new(Out)
		err := c.ask(ctx, voter, op, body, out)
		var refused *spec.Error
		switch {
		case err == nil:
			return out, nil
		case errors.As(err, &refused) && !slices.Contains(op.passing, refused.Code):
			return nil, refused
		case refused == nil && !op.again && !errors.Is(err, errUnsent), ctx.Err() != nil:
			return nil, &spec.Error{Code: spec.CodeOutcomeUnknown, Message: "Node " + string(voter) + " did not answer; it may have opened a session that nobody has.", Hint: "Begin again", Err: err}
		}
		c.cfg.Log.Warn("a voter could not do what is asked of sessions; the next is asked", "voter", voter, "operation", op.path, "error", err)
		last = outward(err)
	}
	return nil, last
}

// outward is the last refusal, for whoever asked. That a voter cannot is not what
// they can mend.
func outward(err error) *spec.Error {
	var e *spec.Error
	if errors.As(err, &e) && e.Code != spec.CodeNotReady {
		return e
	}
	return &spec.Error{Code: spec.CodeNoLeader, Message: "No voter that can open sessions answers at present.", Err: err}
}

// order is that in which voters are asked.
func (c *Client) order() []spec.NodeID {
	voters := slices.Clone(c.cfg.Voters())
	if c.cfg.Prefer == nil {
		return voters
	}
	first, known := c.cfg.Prefer()
	if i := slices.Index(voters, first); known && i > 0 {
		voters = slices.Insert(slices.Delete(voters, i, i+1), 0, first)
	}
	return voters
}

// ask makes one attempt. Its error is the voter's own *spec.Error, or says why
// there was no answer.
func (c *Client) ask(ctx context.Context, voter spec.NodeID, op operation, body []byte, out any) error {
	limit := answerTimeout + 2*time.Second
	if op.again {
		limit = attemptTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(voter)+pathPrefix+op.path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	r.Header.Set("Content-Type", jsonType)
	resp, err := c.cfg.Client(Protocol).Do(r)
	if err != nil {
		if !sent.Load() && ctx.Err() == nil { // a cancelled request may be leaving at this moment
			return fmt.Errorf("%w: %w", errUnsent, err)
		}
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	return readAnswer(resp, raw, out)
}

func readAnswer(resp *http.Response, raw []byte, out any) error {
	if resp.Header.Get("Content-Type") != jsonType {
		if resp.StatusCode >= 400 && resp.StatusCode < 500 { // an older build's, or one that does not let this node in
			return fmt.Errorf("%w: HTTP status %d", errUnsent, resp.StatusCode)
		}
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	if resp.StatusCode == http.StatusOK {
		return json.Unmarshal(raw, out)
	}
	var e refusal
	if json.Unmarshal(raw, &e) != nil || e.Code == "" {
		return fmt.Errorf("HTTP status %d without a code", resp.StatusCode)
	}
	return &spec.Error{Code: e.Code, Message: e.Message, Hint: e.Hint, Param: e.Param}
}
