package auth

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func keyIn(t *testing.T, change func(*wire.APIKey)) *Principal {
	t.Helper()
	table := New("c1")
	_, k := newKey(change)
	table.PutKey(k)
	p, ok := table.Lookup(k.Id)
	if !ok {
		t.Fatal("no key")
	}
	return p
}

func TestAddresses(t *testing.T) {
	free := keyIn(t, func(*wire.APIKey) {})
	p := keyIn(t, func(k *wire.APIKey) { k.Addresses = []string{"10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "nonsense"} })
	bad := keyIn(t, func(k *wire.APIKey) { k.Addresses = []string{"nonsense"} })
	for text, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "192.0.2.7": true, "192.0.2.8": false,
		"2001:db8:1::1": true, "2001:db9::1": false, "2001:db8::1%eth0": true,
	} {
		from := netip.MustParseAddr(text)
		if p.AddressAllowed(from) != want || !free.AddressAllowed(from) || bad.AddressAllowed(from) {
			t.Errorf("from %s: %v", text, !want)
		}
	}
	if p.AddressAllowed(netip.Addr{}) {
		t.Error("from no address")
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::1": "::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:10.1.2.3": "10.1.2.3/32", "0.0.0.0/0": "0.0.0.0/0",
	} {
		if got, err := ParseAddress(text); err != nil || got.String() != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10.0.0.0/33", "10.0.0", "example.com", "fe80::1%eth0", "::ffff:10.0.0.0/8", "10.0.0.0/8 "} {
		if got, err := ParseAddress(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

func TestEndpointsAndRegions(t *testing.T) {
	p := keyIn(t, func(k *wire.APIKey) {
		k.Endpoints, k.Regions = []string{"/v1/embeddings", "/v1/chat/*"}, []string{"eu"}
	})
	for path, want := range map[string]bool{"/v1/embeddings": true, "/v1/embeddings/x": false, "/v1/chat/completions": true, "/v1/models": false, "": false} {
		if p.EndpointAllowed([]byte(path)) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	free := keyIn(t, func(k *wire.APIKey) { k.Models = []string{"m"} })
	if !slices.Equal(p.Regions(), []string{"eu"}) || free.Regions() != nil || !free.EndpointAllowed([]byte("/")) {
		t.Error("what a key does not bound is bounded, or the other way round")
	}
	for pattern, ok := range map[string]bool{"/v1/*": true, "/": true, "v1": false, "": false, "*": false, "/a b": false, "/a?b": false, "/" + strings.Repeat("x", 200): false} {
		if err := CheckEndpoint(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestCheckScope(t *testing.T) {
	for scope, ok := range map[string]bool{"infer": true, "admin": true, "metrics": true, "topology": true, "deployments.read": true, "keys.*": true, "*": true,
		"root": false, "": false, "keys.": false, "infer on model:x": false} {
		if err := CheckScope(scope); (err == nil) != ok {
			t.Errorf("%q: %v", scope, err)
		}
	}
}

// TestRotation: the secret before the last rotation is good for the overlap, and no longer.
func TestRotation(t *testing.T) {
	table := New("c1")
	before, k := newKey()
	after, hash := NewSecret(k.Id)
	k.PreviousHash, k.PreviousUntilMs, k.Hash = k.Hash, 1000, hash[:]
	table.PutKey(k)
	other, _ := NewSecret(k.Id)
	for _, c := range []struct {
		text string
		now  int64
		want spec.Code
	}{{before, 999, ""}, {before, 1000, spec.CodeInvalidKey}, {after, 0, ""}, {after, 1 << 40, ""}, {other, 0, spec.CodeInvalidKey}} {
		if p, code := table.Identify([]byte(c.text), c.now); code != c.want || (code == "") != (p != nil) {
			t.Errorf("at %d: %q, want %q", c.now, code, c.want)
		}
	}
	k.PreviousHash = nil
	table.PutKey(k)
	if _, code := table.Identify([]byte(before), 0); code != spec.CodeInvalidKey {
		t.Errorf("after the former secret was taken away: %q", code)
	}
	k.PreviousHash, k.RevokedMs = hash[:], 5
	table.PutKey(k)
	if _, code := table.Identify([]byte(after), 0); code != spec.CodeRevokedKey {
		t.Errorf("a revoked one: %q", code)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "::1", "::ffff:10.0.0.0/104", "fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(p.String())
		if err != nil || again != p || !p.Contains(p.Addr()) || p.Addr().Is4In6() {
			t.Errorf("%q is %v, which is %v, %v", text, p, again, err)
		}
	})
}

func FuzzEndpoint(f *testing.F) {
	f.Add("/v1/*", "/v1/models")
	f.Add("/a**b", "/aXb")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(path) > 500 || CheckEndpoint(pattern) != nil {
			return
		}
		p := &Principal{confines: &confines{endpoints: []string{pattern}}}
		if p.EndpointAllowed([]byte(path)) && path != "" && path[0] != '/' {
			t.Errorf("%q lets %q through", pattern, path)
		}
		if !strings.Contains(pattern, "*") && p.EndpointAllowed([]byte(path)) != (path == pattern) {
			t.Errorf("%q and %q", pattern, path)
		}
	})
}

func FuzzCheckScope(f *testing.F) {
	f.Add("keys.*")
	f.Add("infer")
	f.Fuzz(func(t *testing.T, scope string) {
		if err := CheckScope(scope); err != nil {
			return
		}
		if len(ScopeGrants(&wire.APIKey{Tenant: "t", Scopes: []string{scope}}).List()) == 0 {
			t.Errorf("%q is a scope and gives nothing", scope)
		}
	})
}

// TestSame: a hash that differs in any one bit is another.
func TestSame(t *testing.T) {
	a := Hash([]byte("x"))
	if b := a; !same(&a, &b) {
		t.Error("a hash is not the same as itself")
	}
	for bit := range 256 {
		b := a
		b[bit/8] ^= 1 << (bit % 8)
		if same(&a, &b) {
			t.Errorf("differs in bit %d and is the same", bit)
		}
	}
}
