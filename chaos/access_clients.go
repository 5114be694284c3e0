package chaos

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// An accessRun is one run of Access on its way.
type accessRun struct {
	*system
	access AccessConfig
	users  []person // whose sessions come and go
	staff  []person // whose roles do, each with one session that stays
	bursts sync.WaitGroup
	mu     struct {
		sync.Mutex
		live  map[string][]*holding // by what they are
		gone  []goner
		bound map[string]string // binding ids, as far as is known, by user and role
	}
}

type person struct {
	id, name, password string
	tokens             tokens
}

// A holding is a key or a session that clients share.
type holding struct {
	credential
	user    string
	turn    sync.Mutex // one client at a time refreshes
	refresh []string   // tokens, the newest last
	uses    int        // guarded by the run's mutex
}

// A goner is what was taken away, or was asked to be.
type goner struct {
	credential
	at time.Duration
}

const (
	kept    = 6  // of each that are in use at a time, at least
	wear    = 24 // operations on one, after which it is left alone, so that its history can be judged
	mostBad = 64 // goners that are tried again and again
)

// The roles that are bound and taken away again, and what each opens.
var boundRoles = []struct{ id, verb, path string }{
	{accessTenant + "/reads-keys", "keys.read", "/admin/v1/keys?limit=1"},
	{accessTenant + "/reads-users", "users.read", "/admin/v1/users?limit=1"},
	{accessTenant + "/reads-roles", "roles.read", "/admin/v1/bindings?limit=1"},
}

// prepare makes the tenant, its roles, and people who can log in.
func (a *accessRun) prepare(ctx context.Context) error {
	n := a.cluster.nodes[0]
	must := func(method, path string, body any) (reply, error) {
		p := a.registry.call(ctx, n, n.key, method, path, body, 0)
		if p.of() != Done {
			return p, fmt.Errorf("%s %s: %d %s %s", method, path, p.status, p.body, errorText(p.err))
		}
		return p, nil
	}
	_, err := must(http.MethodPut, "/admin/v1/tenants/"+accessTenant, map[string]any{"name": accessTenant, "auth_max_age_seconds": int(a.access.MaxAge / time.Second)})
	for _, r := range boundRoles {
		_, also := must(http.MethodPut, rolePath(r.id), map[string]any{"permissions": []string{r.verb}})
		err = errors.Join(err, also)
	}
	if err != nil {
		return err
	}
	a.mu.live, a.mu.bound = map[string][]*holding{}, map[string]string{}
	for i := range 6 {
		p := person{name: fmt.Sprintf("person-%d", i), password: crand.Text()}
		if _, err := must(http.MethodPost, "/admin/v1/users", map[string]any{"name": p.name, "tenant": accessTenant, "password": p.password}); err != nil {
			return err
		}
		t, o := a.registry.login(ctx, n, p.name, p.password, -1)
		if o.Result != Done {
			return fmt.Errorf("%s cannot log in: %s %s", p.name, o.Code, o.Detail)
		}
		p.id, p.tokens = t.User, t
		if i%3 == 0 {
			a.staff = append(a.staff, p)
			continue
		}
		a.users = append(a.users, p)
		a.hold(whatSession, &holding{credential: t.credential(), user: p.id, refresh: []string{t.Refresh}})
	}
	return nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (a *accessRun) hold(what string, h *holding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.live[what] = append(a.mu.live[what], h)
}

// some picks one that clients share, or nil while there are too few.
func (a *accessRun) some(random *rand.Rand, what string) *holding {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.mu.live[what]
	if len(list) < kept {
		return nil
	}
	at := random.IntN(len(list))
	h := list[at]
	if h.uses++; h.uses >= wear {
		a.mu.live[what] = slices.Delete(list, at, at+1)
	}
	return h
}

// lost notes what was taken away, and is to be tried from now on.
func (a *accessRun) lost(c credential) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.gone = append(a.mu.gone, goner{c, a.history.Now()})
}

// recent lists what was taken away last, of what was since.
func (a *accessRun) recent(since time.Duration, most int) []credential {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []credential
	for i := len(a.mu.gone) - 1; i >= 0 && len(out) < most && a.mu.gone[i].at >= since; i-- {
		out = append(out, a.mu.gone[i].credential)
	}
	return out
}

// client works until ctx ends. What was begun has its answer waited for.
func (a *accessRun) client(ctx context.Context, client int) {
	random := a.random(client)
	whole := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		switch random.IntN(10) {
		case 0, 1, 2, 3:
			a.keyTurn(whole, random, client)
		case 4, 5, 6:
			a.sessionTurn(whole, random, client)
		case 7, 8:
			a.bindingTurn(whole, random, client)
		default:
			a.roleTurn(whole, random, client)
		}
		sleep(ctx, time.Duration(20+random.IntN(120))*time.Millisecond)
	}
}

// everywhere uses what was just taken away on every node.
func (a *accessRun) everywhere(ctx context.Context, c credential, client int) {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	var using sync.WaitGroup
	for _, n := range a.cluster.nodes {
		using.Go(func() { a.registry.enter(ctx, n, c, client) })
	}
	using.Wait()
}
