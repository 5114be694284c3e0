package state

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/cluster/wire"
)

// checkIndexes compares the secondary entries that are there with those that the
// records have.
func checkIndexes(t tester, what string, s *Store) {
	t.Helper()
	f := s.freeze()
	defer f.release()
	var want, got []string
	f.walk(nil, []byte{positionMark + 1}, func(key, value []byte) bool {
		if key[0] >= firstIndex {
			got = append(got, string(key))
			return true
		}
		indexes, err := verify(slices.Clone(key), value)
		try(t, err)
		for _, k := range indexes {
			want = append(want, string(k))
		}
		return true
	})
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s: the indexes have %q, and the records %q", what, got, want)
	}
}

// all follows a listing's cursors to its end.
func all[M any](t *testing.T, limit int, list func(cursor string, limit int) ([]M, string), name func(M) string) []string {
	t.Helper()
	names, cursor := []string{}, ""
	for range 100 {
		page, next := list(cursor, limit)
		if len(page) > limit || next != "" && len(page) < limit {
			t.Fatalf("a page of %d has %d, and the cursor %q follows", limit, len(page), next)
		}
		for _, m := range page {
			names = append(names, name(m))
		}
		if next == "" {
			return names
		}
		cursor = next
	}
	t.Fatal("the cursors do not come to an end")
	return nil
}

func TestListings(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putModel("tiny", "1"))
	r.ok(t, putModel("tiny2", "2"))
	for i := range 7 {
		c := putKey(fmt.Sprintf("k%d", i), []string{"acme", "acme2"}[i%2], fmt.Sprint("name ", i))
		if i != 3 {
			c.GetPutKey().Key.ExpiresMs = int64(100_000 - 300*i)
		}
		r.ok(t, c)
		r.ok(t, deploy(&wire.Deployment{Name: fmt.Sprint("d", i), Model: []string{"tiny", "tiny2", ""}[i%3], Engine: "embedded"}))
	}
	r.ok(t, putKey("other", "zeta", "x"))
	r.ok(t, revokeKey("k4"))
	r.ok(t, undeploy("d3"))
	r.ok(t, deploy(&wire.Deployment{Name: "d6", Model: "tiny2", Engine: "embedded"})) // from another model
	id, name := (*wire.APIKey).GetId, (*wire.Deployment).GetName
	keys := func(tenant string) func(string, int) ([]*wire.APIKey, string) {
		return func(c string, n int) ([]*wire.APIKey, string) { return r.Keys(tenant, c, n) }
	}
	prefix := func(p string) func(string, int) ([]*wire.APIKey, string) {
		return func(c string, n int) ([]*wire.APIKey, string) { return r.KeysByPrefix(p, c, n) }
	}
	deployed := func(m string) func(string, int) ([]*wire.Deployment, string) {
		return func(c string, n int) ([]*wire.Deployment, string) { return r.DeploymentsByModel(m, c, n) }
	}
	for limit := 1; limit <= 9; limit++ {
		for _, c := range []struct {
			what      string
			got, want []string
		}{
			{"all keys", all(t, limit, keys(""), id), []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "other"}},
			{"keys of a tenant", all(t, limit, keys("acme"), id), []string{"k0", "k2", "k4", "k6"}},
			{"keys of no tenant", all(t, limit, keys("acm"), id), []string{}},
			{"keys by prefix", all(t, limit, prefix("k"), id), []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6"}},
			{"one key by prefix", all(t, limit, prefix("k5"), id), []string{"k5"}},
			{"keys by expiry", all(t, limit, r.KeysByExpiry, id), []string{"k6", "k5", "k2", "k1", "k0"}},
			{"deployments of a model", all(t, limit, deployed("tiny"), name), []string{"d0"}},
			{"of another", all(t, limit, deployed("tiny2"), name), []string{"d1", "d4", "d6"}},
			{"of none", all(t, limit, deployed("tin"), name), []string{}},
		} {
			if !slices.Equal(c.got, c.want) {
				t.Errorf("%s, %d at a time: %q, want %q", c.what, limit, c.got, c.want)
			}
		}
	}
	checkIndexes(t, "after the commands", r.Store)
}

// lister has one argument of a listing given.
func lister[M any](list func(of, cursor string, limit int) ([]M, string), of string) func(string, int) ([]M, string) {
	return func(c string, n int) ([]M, string) { return list(of, c, n) }
}

func TestAccessListings(t *testing.T) {
	r := staffed(t)
	r.ok(t, putUser(&wire.User{Id: "cyd", Tenant: "acme", Name: "cyd"}, 0))
	r.ok(t, putTenant(&wire.Tenant{Id: "acme2"}))
	r.ok(t, putUser(&wire.User{Id: "dan", Tenant: "acme2", Name: "dan"}, 0))
	for i := range 5 {
		r.ok(t, deploy(&wire.Deployment{Name: fmt.Sprint("d", i), Tenant: []string{"acme", "", "zeta"}[i%3], Engine: "external"}))
		r.ok(t, putSetting(fmt.Sprint("set/", i), fmt.Sprint(i)))
		r.ok(t, putToken(fmt.Sprint("tok", i), 1, 0))
		r.ok(t, putModel(fmt.Sprint("m", i), "1"))
		r.ok(t, putNode(&wire.Node{Id: fmt.Sprint("n", i)}))
		r.ok(t, place(fmt.Sprint("i", i), "d0", fmt.Sprint("n", i)))
	}
	r.ok(t, deploy(&wire.Deployment{Name: "d1", Tenant: "zeta", Engine: "external"})) // to another
	user, role, binding, session := (*wire.User).GetId, (*wire.AccessRole).GetId, (*wire.Binding).GetId, (*wire.Session).GetId
	key, deployment := (*wire.APIKey).GetId, (*wire.Deployment).GetName
	for limit := 1; limit <= 8; limit++ {
		for what, c := range map[string]struct{ got, want []string }{
			"users":                 {all(t, limit, lister(r.Users, ""), user), []string{"ann", "bob", "cyd", "dan"}},
			"users of a tenant":     {all(t, limit, lister(r.Users, "acme"), user), []string{"ann", "cyd"}},
			"users of none":         {all(t, limit, lister(r.Users, "acm"), user), []string{}},
			"roles":                 {all(t, limit, r.Roles, role), []string{"acme/reader", "helper"}},
			"roles of a tenant":     {all(t, limit, lister(r.RolesOf, "acme"), role), []string{"acme/reader"}},
			"roles of the cluster":  {all(t, limit, lister(r.RolesOf, ""), role), []string{"helper"}},
			"bindings":              {all(t, limit, r.Bindings, binding), []string{"b1", "b2", "b3", "b4", "b5"}},
			"bindings of a user":    {all(t, limit, lister(r.BindingsOf, "user:ann"), binding), []string{"b1", "b5"}},
			"bindings in a tenant":  {all(t, limit, lister(r.BindingsIn, "acme"), binding), []string{"b1", "b2", "b5"}},
			"bindings everywhere":   {all(t, limit, lister(r.BindingsIn, ""), binding), []string{"b3", "b4"}},
			"bindings to a role":    {all(t, limit, lister(r.BindingsTo, "viewer"), binding), []string{"b2"}},
			"sessions":              {all(t, limit, r.Sessions, session), []string{"s1", "s2", "s3"}},
			"sessions of a user":    {all(t, limit, lister(r.SessionsOf, "ann"), session), []string{"s1", "s2"}},
			"keys of an owner":      {all(t, limit, lister(r.KeysOf, "ann"), key), []string{"ka", "kb"}},
			"keys of none":          {all(t, limit, lister(r.KeysOf, "an"), key), []string{}},
			"tenants":               {all(t, limit, r.TenantsPage, (*wire.Tenant).GetId), []string{"acme", "acme2", "zeta"}},
			"nodes":                 {all(t, limit, r.NodesPage, (*wire.Node).GetId), []string{"n0", "n1", "n2", "n3", "n4"}},
			"models":                {all(t, limit, r.ModelsPage, (*wire.Model).GetName), []string{"m0", "m1", "m2", "m3", "m4"}},
			"tokens":                {all(t, limit, r.TokensPage, (*wire.JoinToken).GetId), []string{"tok0", "tok1", "tok2", "tok3", "tok4"}},
			"placements":            {all(t, limit, r.PlacementsPage, (*wire.Placement).GetInstance), []string{"i0", "i1", "i2", "i3", "i4"}},
			"settings":              {all(t, limit, r.SettingsPage, func(s Setting) string { return s.Name + "=" + s.Value }), []string{"set/0=0", "set/1=1", "set/2=2", "set/3=3", "set/4=4"}},
			"deployments":           {all(t, limit, lister(r.DeploymentsPage, ""), deployment), []string{"d0", "d1", "d2", "d3", "d4"}},
			"deployments of one":    {all(t, limit, lister(r.DeploymentsPage, "zeta"), deployment), []string{"d1", "d2"}},
			"deployments of nobody": {all(t, limit, lister(r.DeploymentsOf, ""), deployment), []string{"d4"}},
		} {
			if !slices.Equal(c.got, c.want) {
				t.Errorf("%s, %d at a time: %q, want %q", what, limit, c.got, c.want)
			}
		}
	}
	checkIndexes(t, "after the commands", r.Store)
}

// TestReindex spoils every index: an upgrade makes them from the records.
func TestReindex(t *testing.T) {
	r := filled(t)
	staff(t, r)
	hash, _ := r.Hash()
	v := r.view()
	try(t, r.db.Pebble().DeleteRange(v.key([]byte{byTenant}), v.key([]byte{byNode}), pebble.NoSync))
	try(t, r.db.Pebble().DeleteRange(v.key([]byte{byUserName}), v.key([]byte{byAuditActor}), pebble.NoSync))
	try(t, r.db.Pebble().Set(v.key(indexKey(byTenant, "nobody", "x")), nil, pebble.NoSync))
	r.reindex(r.view())
	checkIndexes(t, "made anew", r.Store)
	if again, _ := r.Hash(); string(again) != string(hash) {
		t.Error("the records have changed")
	}
}
