package session

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	flowLife  = 10 * time.Minute
	codeLife  = time.Minute
	maxURL    = 512 // bytes of what a gateway or a CLI gives
	maxSealed = 8 << 10
	maxCode   = 4 << 10
)

// A flow is a log-in at the provider that is under way. The browser keeps it,
// sealed: the callback goes to any gateway, and that asks any voter.
type flow struct {
	Issuer    string `json:"issuer"`
	Client    string `json:"client"`
	State     string `json:"state"`
	Nonce     string `json:"nonce"`
	Verifier  string `json:"verifier"`
	Callback  string `json:"callback"`
	Loopback  string `json:"loopback,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	EndsMS    int64  `json:"ends_ms"`
}

// A ticket is what a one-time code says, sealed. The session takes its id, so that
// the code opens one session and no second.
type ticket struct {
	Session   string `json:"session"`
	User      string `json:"user"`
	Challenge string `json:"challenge"`
	EndsMS    int64  `json:"ends_ms"`
}

// BeginSSO says where a browser is to go.
func (s *Server) BeginSSO(ctx context.Context, ask spec.SSOBegin) (begun *spec.SSOBegun, err error) {
	defer func() { s.metrics.answered("sso_begin", err) }()
	if err := checkBegin(ask); err != nil {
		return nil, err
	}
	ring, err := s.keys()
	if err != nil {
		return nil, err
	}
	p, err := s.provider(ctx)
	if err != nil {
		return nil, err
	}
	config, err := s.oauth(p, ask.Callback)
	if err != nil {
		return nil, err
	}
	f := flow{
		Issuer: p.issuer, Client: p.client, State: random(secretLen), Nonce: random(secretLen), Verifier: oauth2.GenerateVerifier(),
		Callback: ask.Callback, Loopback: ask.Loopback, Challenge: ask.Challenge, EndsMS: s.cfg.Clock().Add(flowLife).UnixMilli(),
	}
	sealed, err := ring.seal(purposeFlow, f)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The log-in could not be sealed.", Err: err}
	}
	return &spec.SSOBegun{URL: config.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), Flow: sealed}, nil
}

// checkBegin lets an answer go to the gateway's callback, and from there to a
// program on the browser's own machine that can prove that it began.
func checkBegin(ask spec.SSOBegin) error {
	callback, err := url.Parse(ask.Callback)
	if err != nil || len(ask.Callback) > maxURL || callback.Host == "" || callback.Scheme != "https" && callback.Scheme != "http" || callback.Fragment != "" || callback.User != nil {
		return invalid("callback", "The callback is no absolute http or https URL.")
	}
	if ask.Loopback == "" && ask.Challenge == "" {
		return nil
	}
	if !goesHome(ask.Loopback) {
		return invalid("loopback", "The loopback address is not http://127.0.0.1:PORT/PATH or http://[::1]:PORT/PATH.")
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(ask.Challenge); err != nil || len(raw) != sha256.Size {
		return invalid("challenge", "The challenge is no SHA-256 in base64url.")
	}
	return nil
}

// goesHome tells whether the URL is one of the machine that the browser runs on.
// A name such as localhost is not: what it resolves to is another's to say.
func goesHome(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Scheme != "http" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port != 0 && (u.Host == "127.0.0.1:"+u.Port() || u.Host == "[::1]:"+u.Port())
}

// FinishSSO takes what the provider's callback brought.
func (s *Server) FinishSSO(ctx context.Context, ask spec.SSOFinish) (finished *spec.SSOFinished, err error) {
	defer func() { s.metrics.answered("sso_finish", err) }()
	ring, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Clock()
	var f flow
	if len(ask.Flow) > maxSealed || ring.open(now, purposeFlow, ask.Flow, &f) != nil {
		return nil, ssoFailed("The log-in was not begun in this browser, or long ago.", nil)
	}
	switch {
	case now.UnixMilli() >= f.EndsMS:
		return nil, ssoFailed("The log-in took too long.", nil)
	case subtle.ConstantTimeCompare([]byte(ask.State), []byte(f.State)) != 1:
		return nil, ssoFailed("The callback is not that of the log-in that was begun in this browser.", nil)
	case ask.Code == "" || len(ask.Code) > maxCode:
		return nil, ssoFailed("The single sign-on provider sent no code.", nil)
	}
	p, err := s.provider(ctx)
	if err != nil {
		return nil, err
	}
	if p.issuer != f.Issuer || p.client != f.Client {
		return nil, ssoFailed("The settings of single sign-on were changed meanwhile.", nil)
	}
	who, err := s.identify(ctx, p, f, ask.Code)
	if err != nil {
		return nil, err
	}
	user, err := s.admit(ctx, who, ask.From)
	if err != nil {
		return nil, err
	}
	if f.Loopback != "" {
		return ring.toLoopback(now, f, user.GetId())
	}
	granted, err := s.begin(ctx, ring, beginning{user: user.GetId(), method: methodOIDC, id: random(idLen), from: ask.From, agent: ask.Agent})
	if err != nil {
		return nil, err
	}
	return &spec.SSOFinished{Granted: granted}, nil
}

// toLoopback sends the browser on to the CLI, with a code that is of use to no
// other program.
func (r *keyring) toLoopback(now time.Time, f flow, user string) (*spec.SSOFinished, error) {
	code, err := r.seal(purposeCode, ticket{Session: random(idLen), User: user, Challenge: f.Challenge, EndsMS: now.Add(codeLife).UnixMilli()})
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The one-time code could not be sealed.", Err: err}
	}
	u, err := url.Parse(f.Loopback)
	if err != nil {
		return nil, ssoFailed("The loopback address cannot be read.", err)
	}
	query := u.Query()
	query.Set("code", code)
	u.RawQuery = query.Encode()
	return &spec.SSOFinished{Redirect: u.String()}, nil
}

// Exchange opens a session for who shows a one-time code and the verifier whose
// challenge the log-in began with.
func (s *Server) Exchange(ctx context.Context, ask spec.Exchange) (granted *spec.Granted, err error) {
	defer func() { s.metrics.answered("exchange", err) }()
	ring, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Clock()
	var t ticket
	if len(ask.Code) > maxSealed || ring.open(now, purposeCode, ask.Code, &t) != nil || now.UnixMilli() >= t.EndsMS {
		return nil, ssoFailed("The one-time code is not known, or has expired.", nil)
	}
	sum := sha256.Sum256([]byte(ask.Verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(t.Challenge)) != 1 {
		return nil, ssoFailed("The one-time code is another program's.", nil)
	}
	user, ok := s.cfg.State.User(t.User)
	if !ok || user.GetDisabledMs() != 0 {
		return nil, spec.Errorf(spec.CodeUserDisabled, "The user is disabled or gone.")
	}
	granted, err = s.begin(ctx, ring, beginning{user: t.User, method: methodOIDC, id: t.Session, from: ask.From, agent: ask.Agent})
	if spec.CodeOf(err) == spec.CodeAlreadyExists {
		return nil, ssoFailed("The one-time code has been used.", nil)
	}
	return granted, err
}
