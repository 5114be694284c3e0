package auth

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

func newKey(change ...func(*wire.APIKey)) (string, *wire.APIKey) {
	text, id, hash := NewText()
	k := &wire.APIKey{Id: id, Tenant: "t", Name: "n", Hash: hash[:], Scopes: []string{"infer"}}
	for _, c := range change {
		c(k)
	}
	return text, k
}

func load(table *Table, keys []*wire.APIKey, tenants ...*wire.Tenant) {
	_ = table.Load(Records{Keys: slices.Values(keys), Tenants: slices.Values(tenants)})
}

func TestIdentify(t *testing.T) {
	table := New("c1")
	text, k := newKey()
	other, stranger := newKey()
	gone, revoked := newKey(func(k *wire.APIKey) { k.RevokedMs = 5 })
	late, expiring := newKey(func(k *wire.APIKey) { k.ExpiresMs = 1000 })
	bare, hashless := newKey(func(k *wire.APIKey) { k.Hash = nil })
	for _, k := range []*wire.APIKey{k, revoked, expiring, hashless} {
		table.PutKey(k)
	}
	swapped := Format(k.Id, stranger.Id+stranger.Id+stranger.Id+"aa") // a sound text with another's secret
	for _, c := range []struct {
		what, text string
		now        int64
		want       spec.Code
	}{
		{"a key", text, 0, ""},
		{"an unknown one", other, 0, spec.CodeInvalidKey},
		{"no key", "lb-", 0, spec.CodeInvalidKey},
		{"another secret", swapped, 0, spec.CodeInvalidKey},
		{"a revoked one", gone, 0, spec.CodeRevokedKey},
		{"before its end", late, 999, ""},
		{"at its end", late, 1000, spec.CodeExpiredKey},
		{"one without a hash", bare, 0, spec.CodeInvalidKey},
	} {
		p, code := table.Identify([]byte(c.text), c.now)
		if code != c.want {
			t.Errorf("%s: %q, want %q", c.what, code, c.want)
		}
		if known := code == "" || code == spec.CodeRevokedKey || code == spec.CodeExpiredKey; known != (p != nil) {
			t.Errorf("%s: principal %v with %q", c.what, p, code)
		}
	}
	table.RemoveKey(k.Id)
	if _, code := table.Identify([]byte(text), 0); code != spec.CodeInvalidKey {
		t.Errorf("a removed key: %q", code)
	}
	if table.InForce(revoked.Id) || table.InForce(k.Id) || !table.InForce(expiring.Id) {
		t.Error("InForce does not follow the table")
	}
}

func TestPrincipal(t *testing.T) {
	table := New("c1")
	_, k := newKey(func(k *wire.APIKey) {
		k.Scopes, k.Models, k.RequestsPerMinute = []string{"infer", "from-a-later-build"}, []string{"llama-*", "tiny"}, 7
	})
	_, a := newKey(func(k *wire.APIKey) { k.Scopes = []string{"admin"} })
	table.PutKey(k)
	table.PutKey(a)
	p, _ := table.Lookup(k.Id)
	admin, _ := table.Lookup(a.Id)
	for _, v := range access.Verbs {
		want := v.Verb == access.Infer || v.Verb == access.ModelsList
		if got := p.May(v.Verb, access.In("t")); got != want {
			t.Errorf("an infer key may %s: %v", v.Verb, got)
		}
		for _, in := range []access.Resource{access.Cluster, access.In("t"), access.In("other")} {
			if !admin.May(v.Verb, in) {
				t.Errorf("an admin key may not %s in %s", v.Verb, in)
			}
		}
	}
	for _, c := range []struct {
		name, tenant string
		want         bool
	}{{"llama-3", "", true}, {"llama-3", "t", true}, {"llama-3", "other", false}, {"tiny", "", true}, {"mistral", "", false}} {
		if got := p.MayUse(c.name, c.tenant); got != c.want {
			t.Errorf("MayUse(%q, %q) = %v", c.name, c.tenant, got)
		}
	}
	if !admin.MayUse("mistral", "other") {
		t.Error("an admin without patterns may not use everything")
	}
	if p.Limit != LimitOf(k.Id) || p.PerMin != 7 {
		t.Errorf("limit %q of %d", p.Limit, p.PerMin)
	}
}

func TestTenantsMaxAge(t *testing.T) {
	table := New("c1")
	_, k := newKey()
	table.PutKey(k)
	age := func() time.Duration { p, _ := table.Lookup(k.Id); return p.MaxAge() }
	if age() != DefaultMaxAge {
		t.Errorf("without a tenant: %v", age())
	}
	for s, want := range map[int64]time.Duration{30: 30 * time.Second, -1: StrictMaxAge, 0: DefaultMaxAge} {
		if table.PutTenant(&wire.Tenant{Id: "t", AuthMaxAgeS: s}); age() != want {
			t.Errorf("%d s: %v, want %v", s, age(), want)
		}
	}
	if load(table, []*wire.APIKey{k}, &wire.Tenant{Id: "t", AuthMaxAgeS: 9}); age() != 9*time.Second {
		t.Errorf("after a reset: %v", age())
	}
	if table.RemoveTenant("t"); age() != DefaultMaxAge {
		t.Errorf("after its tenant was removed: %v", age())
	}
}

// TestConcurrentChanges has readers identify while others put, revoke, remove
// and reset. Once a revocation has been put, nobody is let in with the key again.
func TestConcurrentChanges(t *testing.T) {
	table := New("c1")
	text, k := newKey()
	steady, s := newKey()
	table.PutKey(k)
	table.PutKey(s)
	var revoked, stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				before := revoked.Load()
				if _, code := table.Identify([]byte(text), 0); before && code != spec.CodeRevokedKey {
					t.Errorf("after the revocation: %q", code)
					return
				}
				if _, code := table.Identify([]byte(steady), 0); code != "" {
					t.Errorf("a key that nobody touches: %q", code)
					return
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 200 {
				_, mine := newKey(func(k *wire.APIKey) { k.Name = fmt.Sprint(w, i) })
				table.PutKey(mine)
				table.PutTenant(&wire.Tenant{Id: "t", AuthMaxAgeS: int64(1 + i%3)})
				if !table.InForce(mine.Id) {
					t.Error("a key just put is not there")
				}
				table.RemoveKey(mine.Id)
			}
		})
	}
	writers.Go(func() {
		time.Sleep(time.Millisecond)
		table.PutKey(&wire.APIKey{Id: k.Id, Tenant: k.Tenant, Hash: k.Hash, RevokedMs: 1})
		revoked.Store(true)
	})
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	if !revoked.Load() {
		t.Error("never revoked")
	}
	if n := table.now.Load().keys.n; n != 2 {
		t.Errorf("%d keys are left", n)
	}
}

func TestIdentifyAllocatesNothing(t *testing.T) {
	table, texts := full(1000)
	i := 0
	allocs := testing.AllocsPerRun(200, func() {
		i++
		if _, code := table.Identify(texts[i%len(texts)], 1); code != "" {
			t.Fatal(code)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func full(n int) (*Table, [][]byte) {
	table := New("c1")
	var keys []*wire.APIKey
	var texts [][]byte
	for range n {
		text, k := newKey()
		keys, texts = append(keys, k), append(texts, []byte(text))
	}
	load(table, keys)
	return table, texts
}
