package access

import (
	"slices"
	"testing"
)

func TestWhere(t *testing.T) {
	give := func(tenant string, confined bool, verbs ...string) Grant {
		return Grant{Role: "r", Tenant: tenant, Confined: confined, Permissions: all(verbs...)}
	}
	g := NewGrants(give("b", false, "keys.*", "nodes.read"), give("a", false, "keys.read", "deployments.read"), give("a", false, "keys.read"), give("", true, "users.read"))
	for _, c := range []struct {
		verb       Verb
		everywhere bool
		tenants    []string
	}{
		{KeysRead, false, []string{"a", "b"}}, {KeysWrite, false, []string{"b"}}, {DeploymentsRead, false, []string{"", "a"}},
		{UsersRead, false, []string{""}}, {NodesRead, false, nil}, {AuditRead, false, nil}, {"none", false, nil},
	} {
		everywhere, tenants := g.Where(c.verb)
		if everywhere != c.everywhere || !slices.Equal(tenants, c.tenants) || g.Somewhere(c.verb) != (len(tenants) > 0) {
			t.Errorf("%s: %v %v, somewhere %v", c.verb, everywhere, tenants, g.Somewhere(c.verb))
		}
	}
	if everywhere, _ := NewGrants(give("", false, "keys.read"), give("a", false, "keys.read")).Where(KeysRead); !everywhere {
		t.Error("a grant of the whole cluster is not everywhere")
	}
	if (Grants{}).Somewhere(Infer) {
		t.Error("nothing allows something")
	}
	if n := testing.AllocsPerRun(100, func() { g.Somewhere(KeysRead) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
