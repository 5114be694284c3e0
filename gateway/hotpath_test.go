package gateway

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/guard"
)

// fresh is a state that is always the newest.
type fresh struct{ StateReader }

func (fresh) Age() time.Duration { return 0 }

// TestLettingInAllocatesNothing: who asks, from where, and whether they may.
func TestLettingInAllocatesNothing(t *testing.T) {
	text, id, hash := auth.NewText()
	g := &Gateway{cfg: Config{State: fresh{}, Log: slog.New(slog.DiscardHandler)}, keys: auth.New("c"), guard: guard.New(guard.Limits{}, nil), notes: guard.NewNotes(nil)}
	g.keys.PutUser(&wire.User{Id: "u", Tenant: "t"})
	g.keys.PutBinding(&wire.Binding{Id: "b", Subject: "user:u", Role: access.Developer, Tenant: "t"})
	g.keys.PutKey(&wire.APIKey{Id: id, Tenant: "t", Owner: "u", Hash: hash[:], Scopes: []string{"infer"}, Models: []string{"llama-*"}, Endpoints: []string{"/v1/*"}, Addresses: []string{"127.0.0.0/8"}})
	g.work, g.abandon = context.WithCancel(t.Context())
	defer g.abandon()
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: 1}, nil)
	ctx.Request.SetRequestURI("/v1/models")
	ctx.Request.Header.Set("Authorization", "Bearer "+text)
	op := &Operation{Verb: access.Infer}
	r := &request{g: g, ctx: &ctx}
	let := func() {
		if err := r.identify(); err != nil {
			t.Fatal(err)
		}
		if err := r.authorise(op); err != nil {
			t.Fatal(err)
		}
		if !r.who.MayUse("llama-3", "t") || r.who.MayUse("mistral", "t") {
			t.Fatal("the key's models are not told apart")
		}
	}
	if n := testing.AllocsPerRun(1000, let); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
