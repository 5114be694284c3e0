package auth

import (
	"iter"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Records is everything that a table follows. A nil sequence is an empty one.
type Records struct {
	Keys     iter.Seq[*wire.APIKey]
	Tenants  iter.Seq[*wire.Tenant]
	Users    iter.Seq[*wire.User]
	Roles    iter.Seq[*wire.AccessRole]
	Bindings iter.Seq[*wire.Binding]
	Sessions iter.Seq[*wire.Session]
	Signing  []byte // as of SetSigning
	Epoch    uint64
}

// Load replaces everything, as after a snapshot of the state, and at once. The
// error is SetSigning's: all else has been taken over, and no token is let in.
func (t *Table) Load(r Records) error {
	next := newSnapshot()
	keys, err := parseSigning(r.Signing)
	if err == nil {
		next.signing = keys
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.shared = map[string]*shared{}
	each(r.Keys, func(k *wire.APIKey) {
		next.keys.put(t.keyOf(k, t.sharedLocked(k)))
		if p := previousOf(k); p != nil {
			next.previous.put(p)
		}
	})
	each(r.Tenants, func(tn *wire.Tenant) { next.tenants.put(&tenant{tn.GetId(), maxAgeOf(tn)}) })
	each(r.Users, func(u *wire.User) { next.users.put(userOf(u)) })
	each(r.Roles, func(ro *wire.AccessRole) { next.roles.put(roleOf(ro)) })
	each(r.Bindings, func(b *wire.Binding) {
		next.bind(&binding{b.GetId(), b.GetSubject(), b.GetRole(), b.GetTenant()})
	})
	each(r.Sessions, func(in *wire.Session) { next.sessions.put(sessionOf(in)) })
	next.epoch, next.generation = r.Epoch, t.now.Load().generation+1
	t.now.Store(next)
	return err
}

func each[T any](all iter.Seq[T], fn func(T)) {
	if all != nil {
		all(func(v T) bool { fn(v); return true })
	}
}
