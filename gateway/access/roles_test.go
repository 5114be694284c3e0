package access

import (
	"strings"
	"testing"
)

// gives is what each built-in role gives, written down: "t" where it is bound in
// a tenant, for what that tenant owns, too; "c" where it is bound in the whole
// cluster alone; "-" nowhere.
var gives = map[Verb]string{
	//                 owner admin operator developer viewer auditor
	Infer:            "t     t     -        t         -      -",
	ModelsList:       "t     t     t        t         t      t",
	ModelsRead:       "t     t     t        t         t      t",
	ModelsWrite:      "c     c     c        -         -      -",
	ModelsPull:       "c     c     c        -         -      -",
	DeploymentsRead:  "t     t     t        t         t      t",
	DeploymentsWrite: "t     t     t        -         -      -",
	NodesRead:        "c     c     c        -         c      c",
	EnginesExternal:  "c     c     c        -         -      -",
	NodesRemove:      "c     c     c        -         -      -",
	ClusterRead:      "c     c     c        -         c      c",
	ClusterDrain:     "c     c     c        -         -      -",
	ClusterLead:      "c     c     c        -         -      -",
	ClusterBackup:    "c     c     -        -         -      -",
	ClusterReload:    "c     c     c        -         -      -",
	TokensRead:       "c     c     -        -         c      c",
	TokensWrite:      "c     c     -        -         -      -",
	SettingsRead:     "c     c     c        -         c      c",
	SettingsWrite:    "c     c     -        -         -      -",
	TenantsRead:      "t     t     t        -         t      t",
	TenantsWrite:     "c     c     -        -         -      -",
	KeysRead:         "t     t     -        -         t      t",
	KeysWrite:        "t     t     -        -         -      -",
	KeysOwn:          "t     t     -        t         -      -",
	UsersRead:        "t     t     -        -         t      t",
	UsersWrite:       "t     t     -        -         -      -",
	RolesRead:        "t     t     -        -         t      t",
	RolesWrite:       "t     t     -        -         -      -",
	OwnersWrite:      "t     -     -        -         -      -",
	SessionsRead:     "t     t     -        -         t      t",
	SessionsWrite:    "t     t     -        -         -      -",
	AuditRead:        "t     t     -        -         -      t",
	MetricsRead:      "c     c     c        -         c      c",
	TopologyRead:     "t     t     t        -         t      t",
	UsageRead:        "t     t     -        -         t      t",
}

func TestBuiltInRoles(t *testing.T) {
	for _, v := range Verbs {
		want := strings.Fields(gives[v.Verb])
		if len(want) != len(Roles) {
			t.Fatalf("%s: not written down for each role", v.Verb)
		}
		for i, r := range Roles {
			whole := NewGrants(Grant{Binding: "b", Role: r.ID, Permissions: r.Permissions})
			inT := NewGrants(Grant{Binding: "b", Role: r.ID, Tenant: "t", Permissions: r.Permissions})
			for _, to := range []Resource{Cluster, In("t"), {Kind: KindKey, Name: "k", Tenant: "t"}, {Kind: KindModel, Name: "m"}} {
				if got := whole.Allows(v.Verb, to); got != (want[i] != "-") {
					t.Errorf("%s everywhere, %s on %s: %v", r.ID, v.Verb, to, got)
				}
				yes := want[i] == "t" && (to.Tenant == "t" || v.Shared)
				if got := inT.Allows(v.Verb, to); got != yes {
					t.Errorf("%s in t, %s on %s of %q: %v", r.ID, v.Verb, to, to.Tenant, got)
				}
			}
			if inT.Allows(v.Verb, In("other")) {
				t.Errorf("%s in t, %s in another tenant", r.ID, v.Verb)
			}
		}
	}
}

// TestWhoMayGiveWhichRole: nobody gives more than they have, in no more places.
func TestWhoMayGiveWhichRole(t *testing.T) {
	for i, mine := range Roles {
		for j, given := range Roles {
			for _, in := range [][2]string{{"", ""}, {"", "t"}, {"t", "t"}, {"t", ""}, {"t", "other"}} {
				g := NewGrants(Grant{Role: mine.ID, Tenant: in[0], Permissions: mine.Permissions})
				missing, ok := g.Covers(NewGrants(Grant{Role: given.ID, Tenant: in[1], Permissions: given.Permissions}))
				want := (in[0] == "" || in[0] == in[1]) && (i <= 1 && j >= i || i == j || mine.ID == Auditor && given.ID == Viewer)
				if ok != want || ok == (missing.Verb != "") {
					t.Errorf("%s in %q gives %s in %q: %v, missing %v", mine.ID, in[0], given.ID, in[1], ok, missing)
				}
			}
		}
	}
}

func TestCatalogue(t *testing.T) {
	if len(Verbs) > 64 || len(gives) != len(Verbs) || len(places) != len(Verbs) {
		t.Errorf("%d verbs, %d of them written down, %d different", len(Verbs), len(gives), len(places))
	}
	for _, v := range Verbs {
		if got, ok := Lookup(v.Verb); !ok || got != v || v.Text == "" || v.Cluster && v.Shared {
			t.Errorf("%+v is found as %+v", v, got)
		}
	}
	if _, ok := Lookup("fly"); ok {
		t.Error("there is a verb to fly")
	}
	for _, r := range Roles {
		if got, ok := RoleOf(r.ID); !ok || got.Text == "" {
			t.Errorf("%s is found as %+v", r.ID, got)
		}
		for _, p := range r.Permissions {
			if err := p.Check(); err != nil {
				t.Errorf("%s: %v", r.ID, err)
			}
		}
	}
	if _, ok := RoleOf("root"); ok {
		t.Error("there is a role root")
	}
}
