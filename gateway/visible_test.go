package gateway_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// crowdedRig has three tenants with things of each kind, mixed by name.
func crowdedRig(t testing.TB) *rig {
	r := newRig(t)
	for i := range 30 {
		tenant := []string{"t1", "t2", "t3"}[i%3]
		n := fmt.Sprintf("%02d", i)
		r.state.tenants[tenant] = &wire.Tenant{Id: tenant}
		r.state.addDeployment("d"+n, []string{tenant, ""}[i/24])
		r.state.placements["i"+n] = &wire.Placement{Instance: "i" + n, Deployment: "d" + n, Node: "n1"}
		r.state.addKey("k"+n, tenant, 0, "infer")
		r.state.addUser("w"+n, tenant, "viewer")
		r.state.roles[tenant+"/r"+n] = &wire.AccessRole{Id: tenant + "/r" + n, Tenant: tenant, Version: 1}
		r.state.sessions["s"+n] = &wire.Session{Id: "s" + n, User: "w" + n}
	}
	r.state.addUser("v1", "t1", "viewer")
	r.state.addUser("v12", "t1", "viewer", "viewer@t2")
	r.state.addUser("vall", "t1", "viewer@")
	r.state.addUser("some", "t1", "t1/some")
	r.state.roles["t1/some"] = &wire.AccessRole{Id: "t1/some", Tenant: "t1", Version: 1, Permissions: []*wire.Permission{{Verb: "*.read", Resource: "key:k0*"}, {Verb: "deployments.read", Resource: "deployment:d0*"}}}
	r.tellState()
	return r
}

// listed walks a list's pages; it returns the names, and how many pages there were.
func (r *rig) listed(t testing.TB, token, path, name string, limit int, query string) (names []string, pages int) {
	t.Helper()
	for cursor := ""; ; {
		res, body := r.do(token, "GET", fmt.Sprintf("/admin/v1/%s?limit=%d&cursor=%s%s", path, limit, url.QueryEscape(cursor), query), "")
		var p struct {
			Data []map[string]any
			Next string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || res.StatusCode != 200 || len(p.Data) > limit {
			t.Fatalf("%s: %d %s", path, res.StatusCode, body)
		}
		for _, d := range p.Data {
			names = append(names, d[name].(string))
		}
		if pages++; pages > 200 {
			t.Fatal("the pages do not end")
		}
		if cursor = p.Next; cursor == "" {
			return names, pages
		}
	}
}

// TestListsShowWhatTheCallerMaySee: each once, whatever the size of pages.
func TestListsShowWhatTheCallerMaySee(t *testing.T) {
	r := crowdedRig(t)
	tokens := map[string]string{}
	for _, who := range []string{"v1", "v12", "vall", "some"} {
		tokens[who] = r.enter(who)
	}
	of := func(tenants ...string) func(string) bool {
		return func(t string) bool { return slices.Contains(tenants, t) }
	}
	sees := map[string]func(string) bool{"v1": of("t1"), "v12": of("t1", "t2"), "vall": func(string) bool { return true }}
	lists := map[string]struct {
		name string
		want func(sees func(string) bool) []string
	}{
		"keys": {"id", func(sees func(string) bool) []string {
			return those(r.state.keys, func(k *wire.APIKey) bool { return sees(k.Tenant) })
		}},
		"users": {"id", func(sees func(string) bool) []string {
			return those(r.state.users, func(u *wire.User) bool { return sees(u.Tenant) })
		}},
		"bindings": {"id", func(sees func(string) bool) []string {
			return those(r.state.bindings, func(b *wire.Binding) bool { return sees(b.Tenant) })
		}},
		"tenants": {"id", func(sees func(string) bool) []string {
			return those(r.state.tenants, func(t *wire.Tenant) bool { return sees(t.Id) })
		}},
		"deployments": {"name", func(sees func(string) bool) []string {
			return those(r.state.deployments, func(d *wire.Deployment) bool { return d.Tenant == "" || sees(d.Tenant) })
		}},
		"placements": {"instance", func(sees func(string) bool) []string {
			return those(r.state.placements, func(p *wire.Placement) bool {
				d := r.state.deployments[p.Deployment]
				return d.GetTenant() == "" || sees(d.Tenant)
			})
		}},
		"sessions": {"id", func(sees func(string) bool) []string {
			return those(r.state.sessions, func(s *wire.Session) bool { return sees(r.state.users[s.User].Tenant) })
		}},
		"roles": {"id", func(sees func(string) bool) []string {
			return append([]string{"admin", "auditor", "developer", "operator", "owner", "viewer"}, those(r.state.roles, func(a *wire.AccessRole) bool { return sees(a.Tenant) })...)
		}},
	}
	for path, l := range lists {
		for who, sees := range sees {
			want := l.want(sees)
			for _, limit := range []int{1, 7, 1000} {
				got, _ := r.listed(t, tokens[who], path, l.name, limit, "")
				if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, slices.Sorted(slices.Values(want))) {
					t.Errorf("%s sees %s by %d: %d %v, want %d %v", who, path, limit, len(got), sorted, len(want), want)
				}
			}
		}
	}
	for path, want := range map[string][]string{"keys": {"k00xxxx", "k03xxxx", "k06xxxx", "k09xxxx"}, "deployments": {"d00", "d03", "d06", "d09"}} {
		if got, _ := r.listed(t, tokens["some"], path, lists[path].name, 2, ""); !slices.Equal(got, want) {
			t.Errorf("who may read %s of some names sees %v, want %v", path, got, want)
		}
	}
	for query, status := range map[string]int{"tenant=t2": 200, "tenant=t3": 403, "tenant=none": 403} {
		if res, body := r.do(tokens["v12"], "GET", "/admin/v1/keys?"+query, ""); res.StatusCode != status || strings.Contains(body, "k02xxxx") {
			t.Errorf("%s: %d %s", query, res.StatusCode, body)
		}
	}
}

func those[M any](m map[string]M, fits func(M) bool) []string {
	var out []string
	for id, v := range m {
		if fits(v) {
			out = append(out, id)
		}
	}
	return out
}

// TestAPageReadsAPage: of a large list, a page costs what is on it.
func TestAPageReadsAPage(t *testing.T) {
	r := newRig(t)
	for i := range 5000 {
		r.state.addKey(fmt.Sprintf("k%04d", i), []string{"t1", "t2"}[i%2], 0, "infer")
	}
	r.state.addUser("v2", "t2", "viewer")
	r.tellState()
	token := r.enter("v2")
	for key, cursor := range map[string]string{r.admin: "", token: "k2000xxxx"} {
		r.state.read = 0
		if res, body := r.do(key, "GET", "/admin/v1/keys?limit=10&cursor="+cursor, ""); res.StatusCode != 200 || r.state.read > 20 {
			t.Errorf("%d records were read for 10: %d %.200s", r.state.read, res.StatusCode, body)
		}
	}
}

// TestMergedWalks: several walks together are as one over all.
func TestMergedWalks(t *testing.T) {
	r := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		r.state.mu.Lock()
		r.state.users = map[string]*wire.User{}
		tenants := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3, rapid.ID[string]).Draw(t, "tenants")
		for _, id := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 0, 20, rapid.ID[string]).Draw(t, "users") {
			r.state.users[id] = &wire.User{Id: id, Tenant: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tenant")}
		}
		r.state.users["reader"] = &wire.User{Id: "reader", Tenant: "z"}
		r.state.bindings = map[string]*wire.Binding{}
		for _, tn := range tenants {
			r.state.bindings[tn] = &wire.Binding{Id: tn, Subject: "user:reader", Role: "viewer", Tenant: tn}
		}
		want := []string{}
		for _, id := range slices.Sorted(maps.Keys(r.state.users)) {
			if slices.Contains(tenants, r.state.users[id].Tenant) {
				want = append(want, id)
			}
		}
		r.state.mu.Unlock()
		r.tellState()
		got, _ := r.listed(r.t, r.enter("reader"), "users", "id", rapid.IntRange(1, 8).Draw(t, "limit"), "")
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Fatalf("listed %v, want %v", got, want)
		}
	})
}
