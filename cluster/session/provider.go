package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	providerTimeout  = 10 * time.Second // of one exchange with the provider
	providerLife     = time.Hour        // of what it has told of itself
	maxProviderBytes = 1 << 20          // of one of its answers
	maxProviderText  = 300              // of its words in a log
)

// A provider is the OIDC provider that the settings name, as it told of itself.
type provider struct {
	issuer, client string
	groups         string // claim
	scopes         []string
	found          time.Time
	oidc           *oidc.Provider
	endpoint       oauth2.Endpoint
	basic          bool // whether the client's secret goes into the Authorization header
}

func unconfigured() error {
	return spec.Errorf(spec.CodeSSOUnconfigured, "This cluster has no single sign-on.")
}

func ssoFailed(message string, cause error) error {
	return &spec.Error{Code: spec.CodeSSOFailed, Message: message, Err: shortened(cause)}
}

// shortened bounds what a log says of the provider's words.
func shortened(err error) error {
	if err == nil || len(err.Error()) <= maxProviderText {
		return err
	}
	return errors.New(plainly(err.Error(), maxProviderText) + "...")
}

// provider returns the one that the settings name. What it tells of itself is
// asked for once in an hour, and when the settings change.
func (s *Server) provider(ctx context.Context) (*provider, error) {
	want, err := s.wanted()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	have := s.mu.provider
	s.mu.Unlock()
	if have != nil && have.issuer == want.issuer && s.cfg.Clock().Sub(have.found) < providerLife {
		want.found, want.oidc, want.endpoint, want.basic = have.found, have.oidc, have.endpoint, have.basic
		return want, nil
	}
	// One caller that gives up must not fail the others that wait for the same.
	done := s.discover.DoChan(want.issuer, func() (any, error) { return s.ask(context.WithoutCancel(ctx), *want) })
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, ssoFailed("The single sign-on provider "+want.issuer+" cannot be reached, or does not describe itself.", r.Err)
		}
		p := *r.Val.(*provider)
		p.client, p.groups, p.scopes = want.client, want.groups, want.scopes
		return &p, nil
	case <-ctx.Done():
		return nil, ssoFailed("The single sign-on provider "+want.issuer+" did not answer in time.", ctx.Err())
	}
}

// wanted reads the settings.
func (s *Server) wanted() (*provider, error) {
	issuer, _ := s.cfg.State.Setting(spec.SettingOIDCIssuer)
	client, _ := s.cfg.State.Setting(spec.SettingOIDCClientID)
	if issuer == "" || client == "" {
		return nil, unconfigured()
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u)) {
		return nil, spec.Errorf(spec.CodeSSOUnconfigured, "The setting %s is no https URL.", spec.SettingOIDCIssuer)
	}
	p := &provider{issuer: issuer, client: client, groups: "groups", scopes: []string{"profile", "email", "groups"}}
	if claim, ok := s.cfg.State.Setting(spec.SettingOIDCGroups); ok && claim != "" {
		p.groups = claim
	}
	if scopes, ok := s.cfg.State.Setting(spec.SettingOIDCScopes); ok {
		p.scopes = strings.Fields(scopes)
	}
	return p, nil
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Server) ask(ctx context.Context, p provider) (*provider, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.cfg.HTTP), providerTimeout)
	defer cancel()
	found, err := oidc.NewProvider(ctx, p.issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, err
	}
	p.oidc, p.endpoint, p.found = found, found.Endpoint(), s.cfg.Clock()
	p.basic = len(more.Methods) == 0 || slices.Contains(more.Methods, "client_secret_basic")
	s.mu.Lock()
	s.mu.provider = &p
	s.mu.Unlock()
	return &p, nil
}

// oauth is the client's side of the authorisation code flow.
func (s *Server) oauth(p *provider, callback string) (*oauth2.Config, error) {
	c := &oauth2.Config{ClientID: p.client, Endpoint: p.endpoint, RedirectURL: callback, Scopes: append([]string{oidc.ScopeOpenID}, p.scopes...)}
	c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	sealed, ok := s.cfg.State.Secret(spec.OIDCClientSecret)
	if !ok { // a public client
		return c, nil
	}
	secret, err := s.cfg.Identity.OpenSecret(sealed, s.cfg.Self)
	if err != nil && holders(sealed, VoterKeys(s.cfg.State.Nodes())) == 0 { // as after a restore
		return nil, &spec.Error{Code: spec.CodeSSOUnconfigured, Message: "No voter can open the secret of the single sign-on client.", Hint: "Have an administrator set it again", Err: err}
	}
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeNotReady, Message: "Node " + string(s.cfg.Self) + " cannot open the secret of the single sign-on client.", Err: err}
	}
	c.ClientSecret = string(secret)
	if p.basic {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return c, nil
}

// An identity is what the provider says of who logged in.
type identity struct {
	issuer, subject string
	name            string // wish for the user's name; empty: none
	email, display  string
	groups          []string
}

// identify exchanges the code and believes the answer as far as it is signed,
// meant for this cluster, of this flow and in time.
func (s *Server) identify(ctx context.Context, p *provider, f flow, code string) (*identity, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.cfg.HTTP), providerTimeout)
	defer cancel()
	config, err := s.oauth(p, f.Callback)
	if err != nil {
		return nil, err
	}
	return s.exchanged(ctx, p, config, f, code)
}

func (s *Server) exchanged(ctx context.Context, p *provider, config *oauth2.Config, f flow, code string) (*identity, error) {
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, ssoFailed("The single sign-on provider did not take the code.", withoutBody(err))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, ssoFailed("The single sign-on provider sent no identity.", nil)
	}
	verified, err := p.oidc.VerifierContext(ctx, &oidc.Config{ClientID: p.client, Now: s.cfg.Clock}).Verify(ctx, raw)
	if err != nil {
		return nil, ssoFailed("The identity that the single sign-on provider sent is not valid.", err)
	}
	all := map[string]json.RawMessage{}
	if err := verified.Claims(&all); err != nil {
		return nil, ssoFailed("The identity that the single sign-on provider sent cannot be read.", err)
	}
	switch {
	case verified.Nonce != f.Nonce:
		return nil, ssoFailed("The identity that the single sign-on provider sent is of another log-in.", nil)
	case len(verified.Audience) > 1 && textOf(all, "azp") != p.client:
		return nil, ssoFailed("The identity that the single sign-on provider sent was made for another client.", nil)
	case verified.Subject == "" || len(verified.Subject) > maxName:
		return nil, ssoFailed("The identity that the single sign-on provider sent has no subject.", nil)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, ssoFailed("The identity that the single sign-on provider sent is not that of its access token.", err)
		}
	}
	if err := p.complete(ctx, token, verified.Subject, all); err != nil {
		return nil, err
	}
	return identityOf(p, verified.Subject, all), nil
}

// complete adds what the provider tells at its userinfo endpoint alone.
func (p *provider) complete(ctx context.Context, token *oauth2.Token, subject string, all map[string]json.RawMessage) error {
	_, grouped := all[p.groups]
	_, named := all["preferred_username"]
	if grouped && named || p.oidc.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := p.oidc.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return ssoFailed("The single sign-on provider did not tell who logged in.", err)
	}
	if info.Subject != subject {
		return ssoFailed("The single sign-on provider told of somebody else.", nil)
	}
	more := map[string]json.RawMessage{}
	if err := info.Claims(&more); err != nil {
		return ssoFailed("What the single sign-on provider told of who logged in cannot be read.", err)
	}
	for claim, value := range more {
		if _, has := all[claim]; !has {
			all[claim] = value
		}
	}
	return nil
}

// withoutBody keeps the provider's page out of the log: its code says enough.
func withoutBody(err error) error {
	var e *oauth2.RetrieveError
	if !errors.As(err, &e) {
		return err
	}
	status := 0
	if e.Response != nil {
		status = e.Response.StatusCode
	}
	return fmt.Errorf("HTTP status %d, %s: %s", status, plainly(e.ErrorCode, 64), plainly(e.ErrorDescription, 200))
}

// bounded is the client, reading no more of an answer than one of a provider has.
func bounded(c *http.Client) *http.Client {
	out := *c
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	out.Transport = limited{next}
	return &out
}

type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{io.LimitReader(resp.Body, maxProviderBytes), resp.Body}
	}
	return resp, err
}

type limitedBody struct {
	io.Reader
	io.Closer
}
