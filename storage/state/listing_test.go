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

// TestReindex spoils every index: an upgrade makes them from the records.
func TestReindex(t *testing.T) {
	r := filled(t)
	hash, _ := r.Hash()
	v := r.view()
	try(t, r.db.Pebble().DeleteRange(v.key([]byte{byTenant}), v.key([]byte{byNode}), pebble.NoSync))
	try(t, r.db.Pebble().Set(v.key(indexKey(byTenant, "nobody", "x")), nil, pebble.NoSync))
	r.reindex(r.view())
	checkIndexes(t, "made anew", r.Store)
	if again, _ := r.Hash(); string(again) != string(hash) {
		t.Error("the records have changed")
	}
}
