package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/guard"
)

// maxPassword bounds a password, in bytes, and maxOpaque other secrets of the
// sessions': what is longer is none.
const (
	maxPassword = 1024
	maxOpaque   = 4096
)

func (r *request) sessions() (Sessions, error) {
	if r.g.cfg.Sessions == nil {
		return nil, r.elsewhere("open sessions")
	}
	return r.g.cfg.Sessions, nil
}

func (r *request) agent() string {
	return clip(string(r.ctx.UserAgent()), 200)
}

// login opens a session by name and password.
func login(r *request) error {
	var ask struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(ask.Name != "" && len(ask.Name) <= maxName, "name", "must have 1 to 128 bytes")
	f.check(ask.Password != "" && len(ask.Password) <= maxPassword, "password", "must have 1 to 1024 bytes")
	if err := f.err(); err != nil {
		return err
	}
	granted, err := r.login(spec.Login{Name: ask.Name, Password: ask.Password})
	if err != nil {
		return err
	}
	return r.grant(granted)
}

// login asks for a session, as often as the guard lets the address and the name
// try: a password can be guessed, so that even the right one is held back then.
func (r *request) login(ask spec.Login) (*spec.Granted, error) {
	s, err := r.sessions()
	if err != nil {
		return nil, err
	}
	ask.From, ask.Agent = r.from(), r.agent()
	name := "login/" + strings.ToLower(ask.Name)
	// Not the address alone: what guesses at keys there shuts nobody out.
	at := guard.Address(r.addr()) + " "
	here, home := []string{at + "login", at + name}, []byte(at+name)
	held := r.g.guard.Held(here...)
	if !r.g.from.Has(home) { // who comes from where the user has been is not held back for what others do
		held = max(held, r.g.names.Held(name))
	}
	if held > 0 {
		return nil, r.tooMany(held)
	}
	ctx, cancel := r.operate()
	defer cancel()
	granted, err := s.Login(ctx, ask)
	if code := spec.CodeOf(err); err != nil && code.Lookup().Status == fasthttp.StatusUnauthorized {
		r.g.guard.Failed(here...)
		r.g.names.Failed(name)
		target, tenant := r.loginTarget(ask.Name)
		r.failed("sessions.login", target, tenant, code)
	} else if err == nil {
		r.g.from.Put(home)
	}
	return granted, err
}

// welcome is how long a user's address is known as its own after a log-in.
const welcome = 7 * 24 * time.Hour

// loginTarget names a user that there is, and nothing that somebody may have typed
// into the wrong field.
func (r *request) loginTarget(name string) (target, tenant string) {
	if u, ok := r.g.cfg.State.UserByName(name); ok {
		return "user:" + u.GetId(), u.GetTenant()
	}
	return "user:?", ""
}

// tooMany refuses an attempt that comes too soon.
func (r *request) tooMany(held time.Duration) error {
	r.g.metrics.held.Inc()
	return &limited{after: held, err: spec.Errorf(spec.CodeTooManyFailures, "Too many attempts from this address, or with this credential, have failed.")}
}

// failed accounts for a failed attempt; tenant, where it is known, has what was tried
// to be used, and may read of it.
func (r *request) failed(action, target, tenant string, code spec.Code) {
	r.g.metrics.failed.WithLabelValues(string(code)).Inc()
	r.g.notes.Add(guard.Event{From: r.from(), Action: action, Target: target, Tenant: tenant, Outcome: string(code)})
}

// grant answers with a session's tokens, once this node's own table knows it.
func (r *request) grant(granted *spec.Granted) error {
	r.g.await(catchUp, func() bool { return r.g.seen.Load() >= granted.Index || r.g.cfg.State.Index() >= granted.Index })
	h := &r.ctx.Response.Header
	h.Set(fasthttp.HeaderCacheControl, "no-store")
	h.Set(HeaderStateIndex, itoa(int64(granted.Index)))
	return r.json(200, granted)
}

// refresh answers with the next tokens of a session. A refresh token cannot be
// guessed: who has a good one is let in, whatever else comes from the address.
func refresh(r *request) error {
	var ask struct {
		Token string `json:"refresh_token"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(ask.Token != "" && len(ask.Token) <= maxOpaque, "refresh_token", "is missing, or too long to be one")
	if err := f.err(); err != nil {
		return err
	}
	return r.presented("sessions.refresh", ask.Token, func(ctx context.Context, s Sessions) (*spec.Granted, error) {
		return s.Refresh(ctx, spec.Refresh{Token: ask.Token, From: r.from(), Agent: r.agent()})
	})
}

// exchange opens a session by the one-time code that a log-in at the provider
// ended with.
func exchange(r *request) error {
	var ask struct {
		Code     string `json:"code"`
		Verifier string `json:"verifier"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(ask.Code != "" && len(ask.Code) <= maxOpaque, "code", "is missing, or too long to be one")
	f.check(ask.Verifier != "" && len(ask.Verifier) <= maxOpaque, "verifier", "is missing, or too long to be one")
	if err := f.err(); err != nil {
		return err
	}
	return r.presented("sessions.exchange", "", func(ctx context.Context, s Sessions) (*spec.Granted, error) {
		return s.Exchange(ctx, spec.Exchange{Code: ask.Code, Verifier: ask.Verifier, From: r.from(), Agent: r.agent()})
	})
}

// presented grants what a secret that nobody can guess is presented for: a refresh
// token, or a code, which names nobody.
func (r *request) presented(action, refresh string, ask func(context.Context, Sessions) (*spec.Granted, error)) error {
	s, err := r.sessions()
	if err != nil {
		return err
	}
	ctx, cancel := r.operate()
	defer cancel()
	granted, err := ask(ctx, s)
	if err == nil {
		return r.grant(granted)
	}
	if code := spec.CodeOf(err); code.Lookup().Status == fasthttp.StatusUnauthorized {
		target, tenant := "session:?", ""
		if id, user, ok := r.g.refreshed(refresh); ok && code != spec.CodeInvalidRefresh { // the text is the session's
			target, tenant = "session:"+id, r.g.tenantOf(user)
		}
		r.failed(action, target, tenant, code)
		if held := r.g.guard.Failed(guard.Address(r.addr())); held > 0 {
			return r.tooMany(held)
		}
	}
	return err
}

// refreshed is the session that a refresh token names, and whose it is; not ok: this
// node knows none such. The name is no secret, and proves nothing.
func (g *Gateway) refreshed(token string) (id, user string, ok bool) {
	rest, isRefresh := strings.CutPrefix(token, "lbr-")
	id, _, _ = strings.Cut(rest, "-")
	s, ok := g.cfg.State.Session(id)
	return id, s.GetUser(), ok && isRefresh
}

// logout ends the caller's session, or all that its user has.
func logout(r *request) error {
	var ask struct {
		Everywhere *bool `json:"everywhere"`
	}
	f, err := r.decodeOptional(&ask)
	if err != nil {
		return err
	}
	if err := f.err(); err != nil {
		return err
	}
	if r.who.Session == "" {
		return &spec.Error{Code: spec.CodeInvalidRequest, Message: "An API key has no session to end.", Hint: "Revoke the key with DELETE /admin/v1/keys/ID, or send the session's access token."}
	}
	// The same Idempotency-Key in another session of the user is another write.
	r.counts = slices.Concat(r.counts, []byte{0}, []byte(r.who.Session))
	if ask.Everywhere != nil && *ask.Everywhere {
		return r.endAll(r.who.User, "logged out everywhere")
	}
	return r.end(r.who.Session, "logged out")
}

// A signingKeyView is a public key in the form of RFC 8037.
type signingKeyView struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	ID    string `json:"kid"`
	X     string `json:"x"`
}

// signingKeys shows what access tokens are verified by.
func signingKeys(r *request) error {
	out := struct {
		Keys []signingKeyView `json:"keys"`
	}{[]signingKeyView{}}
	secret, _ := r.g.cfg.State.Secret(spec.SessionSigningSecret)
	var public spec.SigningKeys
	if raw := secret.GetPublic(); len(raw) > 0 {
		if err := json.Unmarshal(raw, &public); err != nil {
			return err
		}
	}
	for _, k := range public.Keys {
		if k.NotAfterMS == 0 || k.NotAfterMS > time.Now().UnixMilli() {
			out.Keys = append(out.Keys, signingKeyView{"OKP", "Ed25519", "sig", "EdDSA", k.ID, base64.RawURLEncoding.EncodeToString(k.Public)})
		}
	}
	return r.json(200, out)
}
