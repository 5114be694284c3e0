package auth

import (
	"crypto/subtle"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// DefaultMaxAge is how old the state may be where a tenant says nothing.
const DefaultMaxAge = 900 * time.Second

// StrictMaxAge is what a strict tenant gets: enough for the state feed's own
// beat, and for nothing else.
const StrictMaxAge = 2 * time.Second

const shards = 64

// A Table holds every key of the cluster. Identify reads an immutable snapshot;
// changes copy the shard that they touch.
type Table struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[string]*Principal]
	mu     struct {
		sync.Mutex
		maxAge map[string]time.Duration // by tenant
	}
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{seed: maphash.MakeSeed()}
	t.Reset(nil, nil)
	return t
}

func (t *Table) shard(id []byte) *atomic.Pointer[map[string]*Principal] {
	return &t.shards[maphash.Bytes(t.seed, id)%shards]
}

// Identify returns who has the key of that text. now is Unix milliseconds. A
// non-empty code says why nobody does; the principal comes with the codes for
// revoked and expired keys too, for the log.
func (t *Table) Identify(text []byte, now int64) (*Principal, spec.Code) {
	parsed, ok := Parse(text)
	if !ok {
		return nil, spec.CodeInvalidKey
	}
	p := (*t.shard(parsed.ID).Load())[string(parsed.ID)]
	if p == nil {
		return nil, spec.CodeInvalidKey
	}
	hash := Hash(parsed.Secret)
	if subtle.ConstantTimeCompare(hash[:], p.hash[:]) != 1 {
		return nil, spec.CodeInvalidKey
	}
	if p.revoked {
		return p, spec.CodeRevokedKey
	}
	if p.expires != 0 && now >= p.expires {
		return p, spec.CodeExpiredKey
	}
	return p, ""
}

// Lookup returns the key of that id, in force or not.
func (t *Table) Lookup(id string) (*Principal, bool) {
	p, ok := (*t.shard([]byte(id)).Load())[id]
	return p, ok
}

// InForce tells whether the key of that id is known and not revoked.
func (t *Table) InForce(id string) bool {
	p, ok := t.Lookup(id)
	return ok && !p.revoked
}

// Put adds or replaces one key.
func (t *Table) Put(k *wire.APIKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.storeLocked(k.GetId(), principalOf(k, t.maxAgeLocked(k.GetTenant())))
}

// Remove forgets one key.
func (t *Table) Remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.storeLocked(id, nil)
}

func (t *Table) storeLocked(id string, p *Principal) {
	at := t.shard([]byte(id))
	old := *at.Load()
	next := make(map[string]*Principal, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	if p == nil {
		delete(next, id)
	} else {
		next[id] = p
	}
	at.Store(&next)
}

// Reset replaces everything, as after a snapshot.
func (t *Table) Reset(keys []*wire.APIKey, tenants []*wire.Tenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.maxAge = make(map[string]time.Duration, len(tenants))
	for _, tn := range tenants {
		t.mu.maxAge[tn.GetId()] = maxAgeOf(tn)
	}
	var fresh [shards]map[string]*Principal
	for i := range fresh {
		fresh[i] = make(map[string]*Principal)
	}
	for _, k := range keys {
		id := k.GetId()
		fresh[maphash.String(t.seed, id)%shards][id] = principalOf(k, t.maxAgeLocked(k.GetTenant()))
	}
	for i := range fresh {
		t.shards[i].Store(&fresh[i])
	}
}

// PutTenant takes over a tenant's settings for its keys.
func (t *Table) PutTenant(tn *wire.Tenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	age := maxAgeOf(tn)
	t.mu.maxAge[tn.GetId()] = age
	for i := range t.shards {
		old := *t.shards[i].Load()
		next := make(map[string]*Principal, len(old))
		for id, p := range old {
			if p.Tenant == tn.GetId() && p.MaxAge != age {
				changed := *p
				changed.MaxAge = age
				p = &changed
			}
			next[id] = p
		}
		t.shards[i].Store(&next)
	}
}

func (t *Table) maxAgeLocked(tenant string) time.Duration {
	if age, ok := t.mu.maxAge[tenant]; ok {
		return age
	}
	return DefaultMaxAge
}

// maxAgeOf reads a tenant's allowed age: the record cannot tell 0 from unset,
// so 0 means the default and a negative number means strict.
func maxAgeOf(tn *wire.Tenant) time.Duration {
	switch s := tn.GetAuthMaxAgeS(); {
	case s == 0:
		return DefaultMaxAge
	case s < 0:
		return StrictMaxAge
	default:
		return time.Duration(s) * time.Second
	}
}
