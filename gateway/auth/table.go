package auth

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Table follows the records by which callers are identified. Readers take
// the snapshot; changes come one at a time and swap it.
type Table struct {
	cluster string // audience of access tokens; empty: none is let in
	now     atomic.Pointer[snapshot]
	proven  cache
	mu      struct {
		sync.Mutex
		shared map[string]*shared // by tenant and scopes
	}
}

// New returns an empty table. cluster is the cluster's id.
func New(cluster string) *Table {
	t := &Table{cluster: cluster}
	t.mu.shared = map[string]*shared{}
	t.now.Store(newSnapshot())
	return t
}

// change swaps the snapshot for one that fn has changed.
func (t *Table) change(fn func(s *snapshot)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := *t.now.Load()
	fn(&next)
	t.now.Store(&next)
}

// mostShared bounds what is kept to be shared: beyond it later keys share anew.
const mostShared = 10_000

func (t *Table) sharedLocked(k *wire.APIKey) *shared {
	key := sharedKey(k)
	if c, ok := t.mu.shared[key]; ok {
		return c
	}
	if len(t.mu.shared) >= mostShared {
		clear(t.mu.shared)
	}
	c := &shared{strings.Clone(k.GetTenant()), ScopeGrants(k)}
	t.mu.shared[key] = c
	return c
}

// PutKey adds or replaces one key.
func (t *Table) PutKey(k *wire.APIKey) {
	t.change(func(s *snapshot) {
		s.keys = s.keys.with(t.keyOf(k, t.sharedLocked(k)))
		if p := previousOf(k); p != nil {
			s.previous = s.previous.with(p)
		} else {
			s.previous = s.previous.without(k.GetId())
		}
	})
}

// RemoveKey forgets one key.
func (t *Table) RemoveKey(id string) {
	t.change(func(s *snapshot) { s.keys, s.previous = s.keys.without(id), s.previous.without(id) })
}

// PutTenant adds or replaces one tenant.
func (t *Table) PutTenant(tn *wire.Tenant) {
	t.change(func(s *snapshot) { s.tenants = s.tenants.with(&tenant{tn.GetId(), maxAgeOf(tn)}) })
}

// RemoveTenant forgets one tenant.
func (t *Table) RemoveTenant(id string) {
	t.change(func(s *snapshot) { s.tenants = s.tenants.without(id) })
}

// PutUser adds or replaces one user.
func (t *Table) PutUser(u *wire.User) {
	t.change(func(s *snapshot) { s.users, s.generation = s.users.with(userOf(u)), s.generation+1 })
}

// RemoveUser forgets one user.
func (t *Table) RemoveUser(id string) {
	t.change(func(s *snapshot) { s.users, s.generation = s.users.without(id), s.generation+1 })
}

// PutRole adds or replaces one custom role.
func (t *Table) PutRole(r *wire.AccessRole) {
	t.change(func(s *snapshot) { s.roles, s.generation = s.roles.with(roleOf(r)), s.generation+1 })
}

// RemoveRole forgets one custom role.
func (t *Table) RemoveRole(id string) {
	t.change(func(s *snapshot) { s.roles, s.generation = s.roles.without(id), s.generation+1 })
}

// PutBinding adds or replaces one binding.
func (t *Table) PutBinding(b *wire.Binding) {
	t.change(func(s *snapshot) {
		s.unbind(b.GetId())
		s.bind(&binding{b.GetId(), b.GetSubject(), b.GetRole(), b.GetTenant()})
	})
}

// RemoveBinding forgets one binding.
func (t *Table) RemoveBinding(id string) {
	t.change(func(s *snapshot) { s.unbind(id) })
}

func (s *snapshot) bind(b *binding) {
	s.generation++
	s.bindings = s.bindings.with(b)
	next := &subject{key: b.subject, bindings: []*binding{b}}
	if old := ref(s.subjects, b.subject); old != nil {
		next.bindings = append(slices.Clone(old.bindings), b)
		slices.SortFunc(next.bindings, func(a, b *binding) int { return strings.Compare(a.key, b.key) })
	} else if isKey(b.subject) {
		s.keysBound++
	}
	s.subjects = s.subjects.with(next)
}

func (s *snapshot) unbind(id string) {
	b := ref(s.bindings, id)
	if b == nil {
		return
	}
	s.generation++
	s.bindings = s.bindings.without(id)
	old := ref(s.subjects, b.subject)
	left := slices.DeleteFunc(slices.Clone(old.bindings), func(other *binding) bool { return other.key == id })
	if len(left) > 0 {
		s.subjects = s.subjects.with(&subject{key: b.subject, bindings: left})
		return
	}
	s.subjects = s.subjects.without(b.subject)
	if isKey(b.subject) {
		s.keysBound--
	}
}

// PutSession adds or replaces one session.
func (t *Table) PutSession(in *wire.Session) {
	t.change(func(s *snapshot) { s.sessions = s.sessions.with(sessionOf(in)) })
}

// RemoveSession forgets one session.
func (t *Table) RemoveSession(id string) {
	t.change(func(s *snapshot) { s.sessions = s.sessions.without(id) })
}

// SetSigning takes over the public part of the secret spec.SessionSigningSecret;
// empty: no access token is let in. What cannot be read leaves the keys as they were.
func (t *Table) SetSigning(public []byte) error {
	keys, err := parseSigning(public)
	if err == nil {
		t.change(func(s *snapshot) { s.signing = keys })
	}
	return err
}

// SetEpoch takes over the cluster's session epoch: sessions of another have ended.
func (t *Table) SetEpoch(epoch uint64) {
	t.change(func(s *snapshot) { s.epoch = epoch })
}
