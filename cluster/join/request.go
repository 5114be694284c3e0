package join

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// RequestConfig is a node's wish to join.
type RequestConfig struct {
	Seed     string // host:port of any member's cluster port
	Token    string
	Identity *pki.Identity // keys; a certificate is not needed
	Member   *wire.Member  // what the node is to be
	Clock    func() time.Time
}

const (
	requestTimeout = 30 * time.Second // in all, with what is tried again
	dialTimeout    = 5 * time.Second
	tryAgainAfter  = 300 * time.Millisecond
)

// errNotVoter tells that the server is a member, but none to give a token to.
var errNotVoter = errors.New("it is no voter")

// Request asks the cluster at the seed to take the node in. A refusal is the
// answer's Code and Message; it may be asked again with the same keys. An error
// means that there was no answer, or none of the cluster that the token is for.
// Nothing is kept here: see pki.Identity.Install.
func Request(ctx context.Context, c RequestConfig) (*wire.JoinResponse, error) {
	token, err := pki.ParseToken(c.Token)
	if err != nil {
		return nil, err
	}
	csr, err := c.Identity.CSR()
	if err != nil {
		return nil, fmt.Errorf("making a signing request: %w", err)
	}
	req := &wire.JoinRequest{TokenId: token.ID, TokenSecret: token.Secret, Csr: csr, Node: c.Member}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		resp, err := once(ctx, c, token, req)
		if err == nil && !passing(resp) {
			return resp, check(c, token, resp)
		}
		if err != nil && !errors.Is(err, errUnanswered) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return resp, err
		case <-time.After(tryAgainAfter):
		}
	}
}

// passing tells whether the same request may be answered otherwise in a moment.
func passing(resp *wire.JoinResponse) bool {
	again := []spec.Code{spec.CodeNoLeader, spec.CodeNotReady, spec.CodeOutcomeUnknown, spec.CodeStaleState, spec.CodeConflict, spec.CodeRateLimited}
	return slices.Contains(again, spec.Code(resp.GetCode()))
}

// errUnanswered is wrapped where a member was found and then lost.
var errUnanswered = errors.New("no voter answers")

// once asks the seed or, if that is no voter, those voters that it names.
func once(ctx context.Context, c RequestConfig, token pki.Token, req *wire.JoinRequest) (*wire.JoinResponse, error) {
	resp, err := ask(ctx, c, token, c.Seed, req)
	if !errors.Is(err, errNotVoter) {
		return resp, err
	}
	named, err := ask(ctx, c, token, c.Seed, nil)
	if err != nil || named.GetCode() != "" {
		return named, err
	}
	failed := []error{fmt.Errorf("%w: the member at %s named %d", errUnanswered, c.Seed, len(named.GetMembers()))}
	for _, m := range named.GetMembers() {
		resp, err := ask(ctx, c, token, m.GetClusterAddr(), req)
		if err == nil {
			return resp, nil
		}
		failed = append(failed, fmt.Errorf("voter %s: %w", m.GetId(), err))
	}
	return nil, errors.Join(failed...)
}

// ask sends req to the voter at addr. Without req, the member there, whatever its
// roles, is asked for the voters.
func ask(ctx context.Context, c RequestConfig, token pki.Token, addr string, req *wire.JoinRequest) (*wire.JoinResponse, error) {
	raw, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the cluster port at %s does not answer: %w", addr, err)
	}
	secured := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"join"},
		InsecureSkipVerify: true, // the token, not a name, says whom to trust: see server
		VerifyConnection:   func(s tls.ConnectionState) error { return server(s, token, c.clock(), req != nil) },
	})
	hands, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secured.HandshakeContext(hands); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("the cluster port at %s: %w", addr, err)
	}
	client, end := over(secured)
	defer end()
	if req == nil {
		return do(ctx, client, http.MethodGet, "http://seed/join-voters?token="+url.QueryEscape(token.ID), nil)
	}
	resp, err := post(ctx, client, "http://seed/join", req)
	if err != nil {
		return nil, fmt.Errorf("%w: the cluster port at %s: %w", errUnanswered, addr, err)
	}
	return resp, nil
}

func (c RequestConfig) clock() time.Time {
	if c.Clock == nil {
		return time.Now()
	}
	return c.Clock()
}

// server tells why the server is none of the token's cluster, or not one to give
// the token to.
func server(s tls.ConnectionState, token pki.Token, now time.Time, voter bool) error {
	if s.NegotiatedProtocol != "join" {
		return errors.New("it takes nobody in; is it a cluster port?")
	}
	if len(s.PeerCertificates) < 2 {
		return errors.New("it does not show the authority's certificate")
	}
	leaf, authority := s.PeerCertificates[0], s.PeerCertificates[len(s.PeerCertificates)-1]
	if sha256.Sum256(authority.Raw) != token.Pin {
		return &spec.Error{Code: spec.CodeTokenInvalid, Message: "The join token is for another cluster than the one that answers there."}
	}
	subject, err := pki.Verify(leaf, authority, now)
	switch {
	case err != nil:
		return err
	case subject.Expired:
		return fmt.Errorf("its certificate ended on %s; is this machine's clock right?", leaf.NotAfter.Format(time.DateOnly))
	case voter && !subject.Has(spec.RoleVoter):
		return errNotVoter
	}
	return nil
}

// over returns a client whose every request goes over c, and how to end it.
func over(c net.Conn) (*http.Client, func()) {
	plain := struct{ net.Conn }{c} // net/http would otherwise look for h2 in its ALPN
	t := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return plain, nil },
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, func() {
		t.CloseIdleConnections()
		_ = c.Close()
	}
}

// check looks at a good answer before the node puts itself into its hands.
func check(c RequestConfig, token pki.Token, resp *wire.JoinResponse) error {
	if resp.GetCode() != "" {
		return nil
	}
	leaf, err := x509.ParseCertificate(resp.GetCertificate())
	if err != nil {
		return fmt.Errorf("the certificate in the answer: %w", err)
	}
	authority, err := x509.ParseCertificate(resp.GetAuthority())
	if err != nil {
		return fmt.Errorf("the authority in the answer: %w", err)
	}
	subject, err := pki.Verify(leaf, authority, c.clock())
	switch {
	case err != nil:
		return err
	case sha256.Sum256(authority.Raw) != token.Pin:
		return errors.New("the answer is of another authority than the token's")
	case subject.ID != spec.NodeID(c.Member.GetId()) || pki.MarkOf(subject.Serial) != c.Identity.Mark():
		return fmt.Errorf("the certificate in the answer is node %s's, or not for this machine's key", subject.ID)
	case len(resp.GetGossipKey()) != 32 || resp.GetClusterId() == "":
		return errors.New("the answer lacks the gossip key or the cluster's id")
	}
	return nil
}
