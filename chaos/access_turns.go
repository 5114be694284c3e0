package chaos

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
)

// keyTurn does one thing to a key.
func (a *accessRun) keyTurn(ctx context.Context, random *rand.Rand, client int) {
	h := a.some(random, whatKey)
	if h == nil || random.IntN(10) == 0 {
		if c, made := a.registry.makeKey(ctx, a.any(random), "a-"+crand.Text(), client); made.Result == Done {
			a.hold(whatKey, &holding{credential: c})
		}
		return
	}
	switch random.IntN(8) {
	case 0:
		o := a.registry.take(ctx, a.any(random), Op{Op: OpRevoke, What: whatKey, Client: client, Key: h.key}, "/admin/v1/keys/"+h.key)
		a.took(ctx, o, h.credential, client)
	case 1, 2:
		a.changeTurn(ctx, random, h.key, client)
	case 3, 4, 5:
		a.registry.readKey(ctx, a.any(random), h.key, way(random.IntN(2)), client)
	default:
		a.enter(ctx, a.any(random), h.credential, client)
	}
}

// otherHand is added to a client's number for what it does at the same time.
const otherHand = 300

// changeTurn changes one field of a key or the other, or both at once on different
// nodes: neither may be lost by that.
func (a *accessRun) changeTurn(ctx context.Context, random *rand.Rand, id string, client int) {
	which := random.IntN(3)
	var changing sync.WaitGroup
	if n := a.any(random); which != 0 {
		name := "b-" + crand.Text()
		changing.Go(func() { a.registry.changeKey(ctx, n, id, "name", name, "name="+name, client) })
	}
	if n := a.any(random); which != 1 {
		limit := 10_000 + random.IntN(10_000)
		changing.Go(func() {
			a.registry.changeKey(ctx, n, id, "requests_per_minute", limit, fmt.Sprintf("limit=%d", limit), client+otherHand)
		})
	}
	changing.Wait()
}

// took follows a revocation up: what it took away is tried on every node.
func (a *accessRun) took(ctx context.Context, o Op, c credential, client int) {
	if o.Result != Done && o.Result != Revoked && o.Result != Unknown {
		return
	}
	a.lost(c)
	if o.Result == Done {
		a.everywhere(ctx, c, client)
	}
}

func (a *accessRun) enter(ctx context.Context, n node, c credential, client int) Op {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	return a.registry.enter(ctx, n, c, client)
}

// sessionTurn does one thing to a session. A log-in costs what hashing a password does.
func (a *accessRun) sessionTurn(ctx context.Context, random *rand.Rand, client int) {
	h := a.some(random, whatSession)
	if h == nil || random.IntN(16) == 0 {
		p := a.users[random.IntN(len(a.users))]
		if t, made := a.registry.login(ctx, a.any(random), p.name, p.password, client); made.Result == Done {
			a.hold(whatSession, &holding{credential: t.credential(), user: p.id, refresh: []string{t.Refresh}})
		}
		return
	}
	switch random.IntN(16) {
	case 0, 1:
		o := a.registry.take(ctx, a.any(random), Op{Op: OpRevoke, What: whatSession, Client: client, Key: h.key}, "/admin/v1/sessions/"+h.key)
		a.took(ctx, o, h.credential, client)
	case 2:
		if random.IntN(3) == 0 {
			o := a.registry.take(ctx, a.any(random), Op{Op: OpEndAll, What: whatSession, Client: client, Key: h.user}, "/admin/v1/users/"+h.user+"/sessions")
			a.took(ctx, o, h.credential, client)
		}
	case 3, 4, 5, 6:
		a.refreshTurn(ctx, random, h, client)
	case 7, 8, 9:
		a.registry.readSession(ctx, a.any(random), h.user, h.key, way(random.IntN(2)), client)
	default:
		a.enter(ctx, a.any(random), h.credential, client)
	}
}

// refreshTurn exchanges the newest refresh token, sometimes twice, as a client
// does whose answer was lost, and sometimes presents one that had its turn, as a
// thief would: from then on the session is no more.
func (a *accessRun) refreshTurn(ctx context.Context, random *rand.Rand, h *holding, client int) {
	if !h.turn.TryLock() {
		return
	}
	defer h.turn.Unlock()
	if len(h.refresh) > 2 && random.IntN(3) == 0 {
		_, o := a.registry.refresh(ctx, a.any(random), OpReuse, h.key, h.refresh[len(h.refresh)-3], client)
		a.lost(h.credential)
		if o.Code == "refresh_token_reused" {
			a.everywhere(ctx, h.credential, client)
		}
		h.refresh = nil // it would only be refused, and the guard slows who is refused a lot
		return
	}
	for tries := 0; tries < 2 && len(h.refresh) > 0 && len(h.refresh) < 8; {
		t, o := a.registry.refresh(ctx, a.any(random), OpRefresh, h.key, h.refresh[len(h.refresh)-1], client)
		switch {
		case o.Result == Done:
			if h.refresh = append(h.refresh, t.Refresh); random.IntN(2) == 0 {
				return
			}
		case o.Code == "too_many_failures":
			return
		case o.Result == Unknown:
			tries++
		case o.Result == Revoked:
			h.refresh = nil
		default:
			return
		}
	}
}

// bindingTurn gives a role to somebody, takes it away, or looks.
func (a *accessRun) bindingTurn(ctx context.Context, random *rand.Rand, client int) {
	p, role := a.staff[random.IntN(len(a.staff))], boundRoles[random.IntN(len(boundRoles))]
	key := p.id + " " + role.id
	c := credential{whatBinding, key, p.tokens.Access, role.path}
	a.mu.Lock()
	id := a.mu.bound[key]
	a.mu.Unlock()
	learn := func(o Op) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.mu.bound[key] = o.Value
	}
	switch random.IntN(5) {
	case 0, 1:
		if id == "" {
			if o := a.registry.bind(ctx, a.any(random), p.id, role.id, client); o.Result == Done {
				learn(o)
			}
			return
		}
		o := a.registry.take(ctx, a.any(random), Op{Op: OpRevoke, What: whatBinding, Client: client, Key: key, Value: id}, "/admin/v1/bindings/"+id)
		if o.Result == Done || o.Result == Absent {
			o.Value = ""
			learn(o)
		}
		a.took(ctx, o, c, client)
	case 2:
		if o := a.registry.readBinding(ctx, a.any(random), p.id, role.id, way(random.IntN(2)), client); o.Result == Done {
			learn(o)
		}
	default:
		a.enter(ctx, a.any(random), c, client)
	}
}

// roleTurn writes, removes or reads the record of a role that nobody has.
func (a *accessRun) roleTurn(ctx context.Context, random *rand.Rand, client int) {
	id := fmt.Sprintf("%s/g%03d-%d", accessTenant, a.done.Add(1)/generation, random.IntN(together))
	o := Op{What: whatRole, Client: client, Key: id}
	nodes := func() node { return a.any(random) }
	switch random.IntN(5) {
	case 0, 1:
		o.Op, o.Value = OpPut, crand.Text()
		a.registry.insist(ctx, nodes, o, http.MethodPut, rolePath(id), map[string]any{"description": o.Value, "permissions": []string{"models.list"}})
	case 2:
		o.Op = OpDrop
		a.registry.insist(ctx, nodes, o, http.MethodDelete, rolePath(id), nil)
	default:
		a.registry.getRole(ctx, nodes(), id, way(random.IntN(2)), client)
	}
}
