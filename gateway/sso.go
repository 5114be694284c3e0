package gateway

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/guard"
)

const (
	ssoPath     = "/auth/v1/oidc"
	ssoCallback = ssoPath + "/callback"
	flowCookie  = "lotabots_sso"
	flowTime    = 10 * time.Minute
)

// public is where browsers reach this gateway.
func (r *request) public() string {
	if r.g.cfg.PublicURL != "" {
		return strings.TrimRight(r.g.cfg.PublicURL, "/")
	}
	if r.ctx.IsTLS() {
		return "https://" + string(r.ctx.Host())
	}
	return "http://" + string(r.ctx.Host())
}

// beginSSO sends a browser to the provider. The flow's state is kept by the
// browser, sealed, so that the callback may come to any gateway.
func beginSSO(r *request) error {
	s, err := r.sessions()
	if err != nil {
		return err
	}
	args := r.ctx.QueryArgs()
	ask := spec.SSOBegin{Callback: r.public() + ssoCallback, Loopback: string(args.Peek("loopback")), Challenge: string(args.Peek("challenge"))}
	f := &form{}
	f.check(ask.Loopback == "" || loopback(ask.Loopback), "loopback", "must be http://127.0.0.1:PORT/PATH or http://[::1]:PORT/PATH")
	f.check((ask.Loopback == "") == (ask.Challenge == ""), "challenge", "must come with loopback, and only with it")
	f.check(len(ask.Challenge) <= 128, "challenge", "must have at most 128 bytes")
	if err := f.err(); err != nil {
		return err
	}
	ctx, cancel := r.operate()
	defer cancel()
	begun, err := s.BeginSSO(ctx, ask)
	if err != nil {
		return err
	}
	r.keepFlow(begun.Flow, flowTime)
	return r.redirect(begun.URL)
}

// loopback tells whether the URL is of a port of the browser's own machine.
func loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" || len(text) > 512 || strings.ContainsAny(text, "\\\r\n") {
		return false
	}
	at, err := netip.ParseAddrPort(u.Host)
	return err == nil && at.Port() != 0 && (at.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || at.Addr() == netip.IPv6Loopback())
}

// keepFlow has the browser keep the flow until the callback; no time forgets it.
func (r *request) keepFlow(flow string, keep time.Duration) {
	c := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(c)
	c.SetKey(flowCookie)
	c.SetValue(flow)
	c.SetPath(ssoPath)
	c.SetHTTPOnly(true)
	c.SetSameSite(fasthttp.CookieSameSiteLaxMode) // the provider sends the browser back from another site
	c.SetSecure(strings.HasPrefix(r.public(), "https://"))
	if c.SetMaxAge(int(keep / time.Second)); keep == 0 {
		c.SetExpire(fasthttp.CookieExpireDelete)
	}
	r.ctx.Response.Header.SetCookie(c)
}

func (r *request) redirect(to string) error {
	h := &r.ctx.Response.Header
	h.Set(fasthttp.HeaderCacheControl, "no-store")
	h.Set(fasthttp.HeaderLocation, to)
	h.Set("Referrer-Policy", "no-referrer")
	r.ctx.SetStatusCode(fasthttp.StatusFound)
	return nil
}

// finishSSO is where the provider sends the browser back to.
func finishSSO(r *request) error {
	s, err := r.sessions()
	if err != nil {
		return err
	}
	args := r.ctx.QueryArgs()
	ask := spec.SSOFinish{Flow: string(r.ctx.Request.Header.Cookie(flowCookie)), State: string(args.Peek("state")), Code: string(args.Peek("code")),
		From: r.from(), Agent: r.agent()}
	r.keepFlow("", 0)
	if refusal := args.Peek("error"); len(refusal) > 0 {
		return r.ssoFailed(spec.Errorf(spec.CodeSSOFailed, "The provider has refused: %s.", clip(string(refusal), 100)))
	}
	if ask.Flow == "" || ask.State == "" || ask.Code == "" || len(ask.Flow)+len(ask.State)+len(ask.Code) > 3*maxOpaque {
		return r.ssoFailed(spec.Errorf(spec.CodeSSOFailed, "The browser has brought no log-in that was begun here, or it took longer than ten minutes."))
	}
	ctx, cancel := r.operate()
	defer cancel()
	done, err := s.FinishSSO(ctx, ask)
	switch {
	case err != nil:
		return r.ssoFailed(err)
	case done.Granted != nil:
		return r.grant(done.Granted)
	case !loopback(done.Redirect):
		return spec.Errorf(spec.CodeInternal, "The log-in has ended in a redirect to another machine.")
	}
	return r.redirect(done.Redirect)
}

func (r *request) ssoFailed(err error) error {
	if code := spec.CodeOf(err); code.Lookup().Status == fasthttp.StatusUnauthorized {
		r.failed("sessions.sso", "session:?", "", code)
		if held := r.g.guard.Failed(guard.Address(r.addr())); held > 0 {
			return r.tooMany(held)
		}
	}
	return err
}
