package access

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	someVerbs     = []string{"infer", "models.list", "models.*", "keys.*", "keys.read", "*", "*.read", "cluster.drain", "owners.write", "inf*", "fly"}
	somePatterns  = []string{"", "*", "model:a", "model:a*", "model:*", "model:*b", "key:a", "key", "tenant:t", "tenant:*", "tenant:u*", "cluster", "ghost:a"}
	someTenants   = []string{"", "t", "u", "tu"}
	someResources = []Resource{Cluster, In("t"), In("u"), {KindModel, "a", ""}, {KindModel, "ab", "t"}, {KindModel, "b", "u"},
		{KindKey, "a", "t"}, {KindKey, "b", "tu"}, {KindKey, "a", ""}, {KindNode, "n", ""}, {KindTenant, "tu", "tu"}}
)

func drawGrants(t *rapid.T, label string) Grants {
	var all []Grant
	for range rapid.IntRange(0, 4).Draw(t, label) {
		g := Grant{Binding: "b", Role: "r", Tenant: rapid.SampledFrom(someTenants).Draw(t, "tenant"), Confined: rapid.Bool().Draw(t, "confined")}
		for range rapid.IntRange(0, 3).Draw(t, "permissions") {
			g.Permissions = append(g.Permissions, Permission{rapid.SampledFrom(someVerbs).Draw(t, "verb"), rapid.SampledFrom(somePatterns).Draw(t, "pattern")})
		}
		all = append(all, g)
	}
	return NewGrants(all...)
}

func fits(pattern, name string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(name)
}

// plainly decides by the rules as they are told, one permission after the other.
func plainly(g Grants, v Info, to Resource) bool {
	for _, grant := range g.List() {
		whole := grant.Tenant == "" && !grant.Confined
		if !whole && (v.Cluster || to.Tenant != grant.Tenant && !(to.Tenant == "" && v.Shared)) {
			continue
		}
		for _, p := range grant.Permissions {
			if !fits(p.Verb, string(v.Verb)) && !(v.Verb == ModelsList && fits(p.Verb, string(Infer))) {
				continue
			}
			kind, name, named := strings.Cut(p.Resource, ":")
			if !named {
				name = "*"
			}
			if p.Resource == "" || p.Resource == "*" || kind == to.Kind && fits(name, to.Name) || kind == KindTenant && to.Tenant != "" && fits(name, to.Tenant) {
				return true
			}
		}
	}
	return false
}

func TestDecisionsFollowTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrants(t, "grants")
		for _, v := range Verbs {
			for _, to := range someResources {
				want, got := plainly(g, v, to), g.Allows(v.Verb, to)
				d := g.Decide(v.Verb, to)
				if got != want || d.Allowed != want || (d.By != nil) != want || (d.Missing == "") != want || d.Text == "" {
					t.Fatalf("%s on %s of %q: %v, want %v; %+v", v.Verb, to, to.Tenant, got, want, d)
				}
				if got && !v.Cluster && !to.sharedFor(v) && !g.Sees(to.Tenant) {
					t.Fatalf("%s on %s of %q is allowed and not seen", v.Verb, to, to.Tenant)
				}
			}
		}
	})
}

func (r Resource) sharedFor(v Info) bool { return r.Tenant == "" && v.Shared }

// TestCoversIsNoEscalation: what is covered gives nothing that one has not.
func TestCoversIsNoEscalation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mine, other := drawGrants(t, "mine"), drawGrants(t, "other")
		if missing, ok := mine.Covers(mine); !ok {
			t.Fatalf("does not cover itself: %v", missing)
		}
		missing, ok := mine.Covers(other)
		if ok != (missing == Permission{}) {
			t.Fatalf("covers %v, missing %v", ok, missing)
		}
		for _, v := range Verbs {
			for _, to := range someResources {
				if ok && other.Allows(v.Verb, to) && !mine.Allows(v.Verb, to) {
					t.Fatalf("%s on %s of %q is given and not had", v.Verb, to, to.Tenant)
				}
			}
		}
	})
}

func TestDecisionsExplain(t *testing.T) {
	role := func(id string, binding, tenant string) Grant {
		r, _ := RoleOf(id)
		return Grant{Binding: binding, Role: id, Tenant: tenant, Permissions: r.Permissions}
	}
	g := NewGrants(role(Developer, "b1", "acme"), role(Viewer, "b2", ""),
		Grant{Binding: "b3", Role: "acme/ci", Tenant: "acme", Permissions: []Permission{{"keys.*", "key:ci-*"}}})
	for _, c := range []struct {
		verb    Verb
		to      Resource
		by      string // binding
		missing string
		text    string
	}{
		{Infer, Resource{KindModel, "llama-3", "acme"}, "b1", "", "infer is given by the role developer in tenant acme."},
		{NodesRead, Cluster, "b2", "", "nodes.read is given by the role viewer."},
		{KeysWrite, Resource{KindKey, "ci-1", "acme"}, "b3", "", "keys.* on key:ci-* is given by the role acme/ci in tenant acme."},
		{KeysWrite, In("acme"), "", "keys.write on tenant:acme", "keys.write on tenant:acme is missing, as the role acme/ci in tenant acme has only keys.* on key:ci-*; roles that have it: owner, admin."},
		{KeysWrite, Resource{KindKey, "ci-1", "umbrella"}, "", "keys.write on key:ci-1", "keys.write on key:ci-1 in tenant umbrella is missing, as the role acme/ci in tenant acme does not reach there; roles that have it: owner, admin."},
		{ClusterDrain, Resource{Kind: KindNode, Name: "n1"}, "", "cluster.drain on node:n1", "cluster.drain on node:n1 is missing; roles that have it: owner, admin, operator."},
		{"fly", Cluster, "", "fly", "There is no verb fly."},
	} {
		d := g.Decide(c.verb, c.to)
		by := ""
		if d.By != nil {
			by = d.By.Binding
		}
		if d.Allowed != (c.by != "") || by != c.by || d.Missing != c.missing || d.Text != c.text || d.Resource != c.to.String() {
			t.Errorf("%s on %s: %+v", c.verb, c.to, d)
		}
	}
	local := NewGrants(role(Operator, "b", "acme")).Decide(ClusterDrain, Cluster)
	if !strings.Contains(local.Text, "as it is of the whole cluster, where the role operator in tenant acme does not reach") {
		t.Errorf("a role of the whole cluster, bound in a tenant: %q", local.Text)
	}
}

func TestAllowsAllocatesNothing(t *testing.T) {
	r, _ := RoleOf(Developer)
	g := NewGrants(Grant{Role: Developer, Tenant: "t", Permissions: r.Permissions}, Grant{Role: "x", Permissions: []Permission{{"keys.*", "key:a*b"}}})
	to := []Resource{{KindModel, "m", "t"}, {KindKey, "aXb", "u"}, {KindKey, "b", "u"}}
	if n := testing.AllocsPerRun(100, func() {
		if !g.Allows(Infer, to[0]) || !g.Allows(KeysRead, to[1]) || g.Allows(KeysRead, to[2]) {
			t.Fatal("decides wrongly")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
