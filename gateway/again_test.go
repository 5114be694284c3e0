package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// overtaken is a Proposer before whose first write something else is applied, by
// which that one is refused.
type overtaken struct {
	*state
	mu     sync.Mutex
	by     func(*state)
	code   spec.Code
	writes []*wire.Command
}

func (o *overtaken) Propose(ctx context.Context, c *wire.Command) (*wire.Result, error) {
	o.mu.Lock()
	o.writes = append(o.writes, c)
	first := len(o.writes) == 1
	o.mu.Unlock()
	if first {
		o.by(o.state)
		return &wire.Result{Code: string(o.code), Message: "too late", Index: o.Index()}, nil
	}
	return o.state.Propose(ctx, c)
}

func overtakenRig(t *testing.T, code spec.Code, by func(*state)) (*rig, *overtaken) {
	o := &overtaken{by: by, code: code}
	r := newRig(t, func(c *gateway.Config) { o.state = c.Proposer.(*state); c.Proposer = o })
	return r, o
}

func apply(t *testing.T, s *state, c *wire.Command) {
	t.Helper()
	if res, err := s.Propose(t.Context(), c); err != nil || res.GetCode() != "" {
		t.Errorf("%v, %v", res, err)
	}
}

// TestAWriteIsDecidedOnAnewAfterALoss: the caller was let in, and lost that before
// the write came to be applied.
func TestAWriteIsDecidedOnAnewAfterALoss(t *testing.T) {
	r, o := overtakenRig(t, spec.CodeStaleState, func(s *state) {
		apply(t, s, &wire.Command{RequestId: "loss", AtMs: 1, Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: "admxxxx"}}})
	})
	answer, body := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"mine"}`)
	if answer.StatusCode != 401 || !strings.Contains(body, "revoked_api_key") || len(o.writes) != 1 {
		t.Errorf("%d %s after %d writes", answer.StatusCode, body, len(o.writes))
	}
}

func TestAWriteIsMadeAgainWhereTheLossWasAnothers(t *testing.T) {
	r, o := overtakenRig(t, spec.CodeStaleState, func(s *state) {
		apply(t, s, &wire.Command{RequestId: "loss", AtMs: 1, Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: "infxxxx"}}})
	})
	before := r.state.Index()
	answer, body := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"mine"}`)
	if answer.StatusCode != 201 || len(o.writes) != 2 {
		t.Fatalf("%d %s after %d writes", answer.StatusCode, body, len(o.writes))
	}
	if o.writes[0].GetSeen() > before || o.writes[1].GetSeen() <= before {
		t.Errorf("decided by the state at %d, then at %d; the loss came after %d", o.writes[0].GetSeen(), o.writes[1].GetSeen(), before)
	}
}

// TestAChangeOfAKeyIsMadeToTheNewestOne: two changes of different fields are both there.
func TestAChangeOfAKeyIsMadeToTheNewestOne(t *testing.T) {
	r, o := overtakenRig(t, spec.CodeConflict, func(s *state) {
		k, _ := s.Key("infxxxx")
		to := &wire.APIKey{Id: k.GetId(), Tenant: k.GetTenant(), Name: k.GetName(), Scopes: []string{"metrics"}}
		apply(t, s, &wire.Command{RequestId: "other", AtMs: 1, Body: &wire.Command_ChangeKey{ChangeKey: &wire.ChangeKey{Key: to}}})
	})
	answer, body := r.do(r.admin, "PATCH", "/admin/v1/keys/infxxxx", `{"name":"renamed"}`)
	k, _ := r.state.Key("infxxxx")
	if answer.StatusCode != 200 || k.GetName() != "renamed" || len(k.GetScopes()) != 1 || k.GetScopes()[0] != "metrics" {
		t.Errorf("%d %s, and the key is %v", answer.StatusCode, body, k)
	}
	if len(o.writes) != 2 || o.writes[0].GetRequestId() == o.writes[1].GetRequestId() || o.writes[0].GetChangeKey().ExpectVersion == nil {
		t.Errorf("writes: %v", o.writes)
	}
}
