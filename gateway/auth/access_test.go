package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// manyRoles is a table with a user u who has n roles of five permissions in tenant t.
func manyRoles(n int) *Table {
	table := New("c1")
	table.PutUser(&wire.User{Id: "u", Tenant: "t"})
	for i := range n {
		r := &wire.AccessRole{Id: fmt.Sprint("role-", i)}
		for verb, kind := range map[string]string{"infer": "model", "deployments.read": "deployment", "deployments.write": "deployment", "keys.read": "key", "keys.write": "key"} {
			r.Permissions = append(r.Permissions, &wire.Permission{Verb: verb, Resource: fmt.Sprintf("%s:team-%d-*", kind, i)})
		}
		table.PutRole(r)
		table.PutBinding(&wire.Binding{Id: fmt.Sprint("b", i), Subject: "user:u", Role: r.Id, Tenant: "t"})
	}
	return table
}

// state is a few records of each kind, as a map by kind and id.
type state map[string]any

func (s state) records() Records {
	r := Records{}
	var keys []*wire.APIKey
	var users []*wire.User
	var roles []*wire.AccessRole
	var bindings []*wire.Binding
	for _, rec := range s {
		switch rec := rec.(type) {
		case *wire.APIKey:
			keys = append(keys, rec)
		case *wire.User:
			users = append(users, rec)
		case *wire.AccessRole:
			roles = append(roles, rec)
		case *wire.Binding:
			bindings = append(bindings, rec)
		}
	}
	r.Keys, r.Users, r.Roles, r.Bindings = slices.Values(keys), slices.Values(users), slices.Values(roles), slices.Values(bindings)
	return r
}

// plainly tells what a subject has been given, straight from the records.
func (s state) plainly(subject string) (all []access.Grant) {
	names := []string{subject}
	if u, ok := s[subject].(*wire.User); ok {
		if u.GetDisabledMs() != 0 {
			return nil
		}
		for _, g := range u.GetGroups() {
			names = append(names, "group:"+g)
		}
	} else if strings.HasPrefix(subject, "user:") {
		return nil
	}
	for _, rec := range s {
		b, ok := rec.(*wire.Binding)
		if !ok || !slices.Contains(names, b.GetSubject()) {
			continue
		}
		g := access.Grant{Binding: b.GetId(), Role: b.GetRole(), Tenant: b.GetTenant()}
		if built, ok := access.RoleOf(b.GetRole()); ok {
			g.Permissions = built.Permissions
		} else if r, ok := s["role:"+b.GetRole()].(*wire.AccessRole); ok && (r.GetTenant() == "" || r.GetTenant() == b.GetTenant()) {
			g.Permissions = Permissions(r)
		}
		all = append(all, g)
	}
	return all
}

func (s state) may(subject string, v access.Verb, to access.Resource) bool {
	k, isKey := s[subject].(*wire.APIKey)
	own := s.plainly(subject)
	if !isKey {
		return access.NewGrants(own...).Allows(v, to)
	}
	if !access.NewGrants(append(own, scopeGrants(k.GetTenant(), k.GetScopes())...)...).Allows(v, to) {
		return false
	}
	return k.GetOwner() == "" || access.NewGrants(s.plainly("user:"+k.GetOwner())...).Allows(v, to)
}

func some(t *rapid.T, label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }

// change draws a change and makes it in both.
func (s state) change(t *rapid.T, table *Table) {
	id := some(t, "id", "1", "2", "3")
	tenant := some(t, "tenant", "", "t", "u")
	remove := rapid.IntRange(0, 3).Draw(t, "remove") == 0
	var name string
	switch kind := some(t, "kind", "user", "role", "binding", "binding", "key"); {
	case remove:
		name = kind + ":" + id
		delete(s, name)
		map[string]func(string){"user": table.RemoveUser, "role": table.RemoveRole, "binding": table.RemoveBinding, "key": table.RemoveKey}[kind](id)
	case kind == "user":
		u := &wire.User{Id: id, Tenant: tenant, DisabledMs: int64(rapid.IntRange(0, 1).Draw(t, "disabled")), Groups: []string{some(t, "group", "g", "h")}}
		s["user:"+id] = u
		table.PutUser(u)
	case kind == "role":
		r := &wire.AccessRole{Id: id, Tenant: tenant, Permissions: []*wire.Permission{{Verb: some(t, "verb", "infer", "keys.*", "*")}}}
		s["role:"+id] = r
		table.PutRole(r)
	case kind == "binding":
		b := &wire.Binding{Id: id, Subject: some(t, "subject", "user:1", "user:2", "group:g", "group:h", "key:1", "key:2"), Role: some(t, "role", "1", "2", "developer", "admin", "gone"), Tenant: tenant}
		s["binding:"+id] = b
		table.PutBinding(b)
	case kind == "key":
		k := &wire.APIKey{Id: id, Tenant: tenant, Owner: some(t, "owner", "", "", "1", "9"), Scopes: []string{some(t, "scope", "infer", "admin", "metrics", "topology", "keys.*", "models.*")}}
		s["key:"+id] = k
		table.PutKey(k)
	}
}

func (s state) compare(t *rapid.T, table *Table) {
	for _, subject := range []string{"user:1", "user:2", "key:1", "key:2"} {
		who, ok := table.Subject(subject)
		if ok != (s[subject] != nil) {
			t.Fatalf("%s is there: %v", subject, ok)
		}
		if !ok {
			continue
		}
		for _, v := range []access.Verb{access.Infer, access.ModelsList, access.ModelsWrite, access.KeysWrite, access.MetricsRead, access.TopologyRead, access.OwnersWrite} {
			for _, to := range []access.Resource{access.Cluster, access.In("t"), access.In("u"), {Kind: access.KindModel, Name: "m"}} {
				want, got, d := s.may(subject, v, to), who.May(v, to), who.Explain(v, to)
				if got != want || d.Allowed != want || d.Subject == "" || d.Text == "" {
					t.Fatalf("%s may %s on %s of %q: %v, want %v; %+v", subject, v, to, to.Tenant, got, want, d)
				}
				if want && !who.Somewhere(v) {
					t.Fatalf("%s may %s on %s and nowhere", subject, v, to)
				}
			}
		}
	}
}

// TestTheTableFollows: whatever changes, in whatever order, the table tells what
// the records say, and what one loaded with them tells.
func TestTheTableFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, s := New("c1"), state{}
		for range rapid.IntRange(1, 25).Draw(t, "changes") {
			s.change(t, table)
			s.compare(t, table)
		}
		loaded := New("c1")
		if err := loaded.Load(s.records()); err != nil {
			t.Fatal(err)
		}
		s.compare(t, loaded)
		if a, b := loaded.now.Load().keysBound, table.now.Load().keysBound; a != b {
			t.Fatalf("%d keys have bindings, or %d", a, b)
		}
	})
}

func TestAnOwnedKeyDoesNoMoreThanItsOwner(t *testing.T) {
	table := New("c1")
	text, k := newKey(func(k *wire.APIKey) { k.Owner, k.Scopes = "u", []string{"admin"} })
	table.PutKey(k)
	if _, code := table.Identify([]byte(text), 0); code != "revoked_api_key" {
		t.Errorf("its owner is not there: %q", code)
	}
	table.PutUser(&wire.User{Id: "u", Tenant: "t"})
	table.PutBinding(&wire.Binding{Id: "b", Subject: "user:u", Role: access.Developer, Tenant: "t"})
	p, code := table.Identify([]byte(text), 0)
	if code != "" || !p.MayUse("m", "t") || !p.MayUse("m", "") || p.MayUse("m", "other") || p.May(access.KeysWrite, access.In("t")) {
		t.Errorf("%q: an admin's scope on a developer's key", code)
	}
	if d := p.Explain(access.KeysWrite, access.In("t")); d.Subject != "user:u" || d.Missing != "keys.write on tenant:t" || !strings.HasPrefix(d.Text, "The key's owner, user:u, may not do it: keys.write on tenant:t is missing") {
		t.Errorf("%+v", d)
	}
	admin, _ := access.RoleOf(access.Admin)
	if _, ok := p.Covers(access.NewGrants(access.Grant{Role: "admin", Tenant: "t", Permissions: admin.Permissions})); ok {
		t.Error("a developer's key may give the role admin")
	}
	table.PutUser(&wire.User{Id: "u", Tenant: "t", DisabledMs: 1})
	if _, code := table.Identify([]byte(text), 0); code != "revoked_api_key" || p.MayUse("m", "t") {
		t.Errorf("its owner is disabled: %q", code)
	}
	if d := p.Explain(access.Infer, access.In("t")); d.Allowed || !strings.Contains(d.Text, "disabled or gone") {
		t.Errorf("%+v", d)
	}
	if p.Actor() != "key/"+k.Id {
		t.Errorf("acts as %s", p.Actor())
	}
}

func TestATenantsRoleHoldsThereAlone(t *testing.T) {
	table := New("c1")
	table.PutUser(&wire.User{Id: "u"})
	table.PutRole(&wire.AccessRole{Id: "t/all", Tenant: "t", Permissions: []*wire.Permission{{Verb: "*"}}})
	for _, tenant := range []string{"", "t", "other"} {
		table.PutBinding(&wire.Binding{Id: "b" + tenant, Subject: "user:u", Role: "t/all", Tenant: tenant})
	}
	who, _ := table.Subject("user:u")
	if !who.May(access.KeysWrite, access.In("t")) || who.May(access.KeysWrite, access.In("other")) || who.May(access.ClusterDrain, access.Cluster) {
		t.Error("a tenant's role does not hold in that tenant alone")
	}
	for tenant, want := range map[string]bool{"": false, "t": true, "other": false} {
		if _, ok := table.Grant("t/all", tenant); ok != want {
			t.Errorf("may be bound in %q: %v", tenant, ok)
		}
	}
}

func TestSees(t *testing.T) {
	table := New("c1")
	for id, scopes := range map[string][]string{"1": {"infer"}, "2": {"admin"}, "3": {"metrics"}} {
		table.PutKey(&wire.APIKey{Id: id, Tenant: "t", Scopes: scopes})
	}
	table.PutUser(&wire.User{Id: "u", Tenant: "t"})
	table.PutBinding(&wire.Binding{Id: "b", Subject: "user:u", Role: access.Viewer, Tenant: "other"})
	for subject, sees := range map[string]string{"key:1": " t", "key:2": " t other third", "key:3": " t", "user:u": " t other"} {
		who, _ := table.Subject(subject)
		for _, tenant := range []string{"", "t", "other", "third"} {
			if want := slices.Contains(strings.Split(sees, " "), tenant); who.Sees(tenant) != want {
				t.Errorf("%s sees %q: %v", subject, tenant, !want)
			}
		}
	}
}

func TestMayAllocatesNothing(t *testing.T) {
	table := manyRoles(100)
	table.PutKey(&wire.APIKey{Id: "k", Tenant: "t", Owner: "u", Scopes: []string{"keys.read"}})
	table.PutBinding(&wire.Binding{Id: "bk", Subject: "key:k", Role: access.Developer, Tenant: "t"})
	u, _ := table.Subject("user:u")
	k, _ := table.Subject("key:k")
	if n := testing.AllocsPerRun(100, func() {
		if !u.MayUse("team-99-x", "t") || !k.MayUse("team-99-x", "t") || k.MayUse("team-100-x", "t") || !k.Sees("t") {
			t.Fatal("decides wrongly")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestScopes: what a key's scopes give, written down.
func TestScopes(t *testing.T) {
	model := func(tenant string) access.Resource {
		return access.Resource{Kind: access.KindModel, Name: "m", Tenant: tenant}
	}
	for _, c := range []struct {
		scope, tenant string
		verb          access.Verb
		to            access.Resource
		want          bool
	}{
		{"infer", "t", access.Infer, model("t"), true}, {"infer", "t", access.Infer, model(""), true}, {"infer", "t", access.Infer, model("u"), false},
		{"infer", "t", access.KeysRead, access.In("t"), false}, {"infer", "", access.Infer, model(""), true}, {"infer", "", access.Infer, model("t"), false},
		{"admin", "t", access.OwnersWrite, access.Cluster, true}, {"admin", "t", access.KeysWrite, access.In("u"), true}, {"admin", "t", access.Infer, model("u"), true},
		{"metrics", "t", access.MetricsRead, access.Cluster, true}, {"metrics", "t", access.Infer, model("t"), false},
		{"topology", "t", access.TopologyRead, access.In("t"), true}, {"topology", "t", access.TopologyRead, access.In("u"), false}, {"topology", "", access.TopologyRead, access.In(""), true},
		{"keys.*", "t", access.KeysWrite, access.In("t"), true}, {"keys.*", "t", access.KeysWrite, access.In("u"), false}, {"keys.*", "t", access.KeysWrite, access.Cluster, false},
		{"keys.*", "", access.KeysWrite, access.In("t"), false}, {"keys.*", "", access.KeysWrite, access.Cluster, true},
		{"nodes.read", "t", access.NodesRead, access.Cluster, true}, {"models.*", "t", access.ModelsWrite, model(""), true}, {"models.*", "t", access.ModelsRead, model("u"), false},
		{"*", "t", access.ClusterDrain, access.Cluster, true}, {"*", "t", access.KeysWrite, access.In("u"), false},
		{"from-a-later-build", "t", access.Infer, model("t"), false},
	} {
		p := keyIn(t, func(k *wire.APIKey) { k.Tenant, k.Scopes = c.tenant, []string{c.scope} })
		if got := p.May(c.verb, c.to); got != c.want {
			t.Errorf("scope %s of tenant %q: %s on %s of %q: %v", c.scope, c.tenant, c.verb, c.to, c.to.Tenant, got)
		}
	}
}
