package infer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/infer"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
)

// TestOverTheClusterPort is the whole way: certificates, HTTP/2, and a node that
// goes away in the middle of an answer.
func TestOverTheClusterPort(t *testing.T) {
	authority, err := pki.NewAuthority("test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var at atomic.Value
	resolve := func(id spec.NodeID) (string, bool) {
		s, ok := at.Load().(string)
		return s, ok && id == "b"
	}
	b, a := port(t, authority, "b", resolve), port(t, authority, "a", resolve)
	at.Store(b.Addr())
	from, to := io.Pipe()
	b.Handle("infer", infer.Handler(engine(func(call spec.Call) (io.ReadCloser, error) {
		switch call.RequestID {
		case "who":
			return io.NopCloser(strings.NewReader(string(call.Gateway))), nil
		case "busy":
			return nil, &spec.Rejection{Reason: spec.RejectBusy}
		}
		return from, nil
	}), infer.Config{Peer: func(r *http.Request) (spec.NodeID, bool) {
		p, ok := transport.PeerOf(r)
		return p.ID, ok
	}}))
	client := infer.NewClient(a)
	open := func(id string) (spec.Stream, error) {
		return client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{RequestID: id, Gateway: "forged"}, []byte("{}"))
	}
	s, err := open("who")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(s); err != nil || string(all) != "a" {
		t.Errorf("the gateway is %q, %v", all, err)
	}
	_ = s.Close()
	var refused *spec.Rejection
	if _, err := open("busy"); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	if s, err = open("long"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() { _, _ = io.WriteString(to, "half") }()
	if _, err := io.ReadFull(s, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	a.Drop("b")
	if _, err := io.ReadAll(s); !errors.Is(err, spec.ErrBroken) {
		t.Errorf("cut off: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := open("who"); !errors.Is(err, infer.ErrUnreached) {
		t.Errorf("a node that is gone: %v", err)
	}
}

func port(t *testing.T, authority *pki.Authority, id spec.NodeID, resolve func(spec.NodeID) (string, bool)) *transport.Port {
	t.Helper()
	identity, err := pki.CreateIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	der, err := authority.Sign(csr, pki.SignRequest{ID: id, Roles: []spec.Role{spec.RoleGateway}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := identity.Install(der, authority.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	p, err := transport.Listen(transport.Config{Listen: "127.0.0.1:0", Identity: identity, Resolve: resolve})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

type engine func(spec.Call) (io.ReadCloser, error)

func (e engine) Open(_ context.Context, _ spec.Target, call spec.Call, _ []byte) (spec.Stream, error) {
	r, err := e(call)
	if err != nil {
		return nil, err
	}
	return bare{r}, nil
}

type bare struct{ io.ReadCloser }

func (bare) Status() int             { return 200 }
func (bare) ContentType() string     { return "text/plain" }
func (bare) Load() (spec.Load, bool) { return spec.Load{}, false }
