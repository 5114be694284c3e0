package node

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// keyring is a keyReader over a map, in pages of two.
type keyring map[string]*wire.APIKey

func (k keyring) Key(id string) (*wire.APIKey, bool) { r, ok := k[id]; return r, ok }

func (k keyring) Keys(_, cursor string, _ int) (page []*wire.APIKey, next string) {
	for _, id := range slices.Sorted(maps.Keys(k)) {
		if id <= cursor && cursor != "" {
			continue
		}
		if len(page) == 2 {
			return page, page[1].GetId()
		}
		page = append(page, k[id])
	}
	return page, ""
}

func TestRevocationsFollowTheKeys(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	keys := keyring{}
	for i := range 5 {
		keys[fmt.Sprint(i)] = &wire.APIKey{Id: fmt.Sprint(i)}
	}
	keys["3"].RevokedMs = 5
	keys["4"].ExpiresMs = now.UnixMilli() + 10
	r := newRevocations()
	r.follow(state.Change{Reset: true}, keys)
	check := func(when string, want ...string) {
		t.Helper()
		for id := range keys {
			if got := r.revoked(id, now); got != slices.Contains(want, id) {
				t.Errorf("%s: key %s revoked: %v", when, id, got)
			}
		}
	}
	changed := func(id string) {
		r.follow(state.Change{Records: []state.Ref{{Kind: state.KindTenant, ID: id}, {Kind: state.KindKey, ID: id}}}, keys)
	}
	check("at the start", "3")
	keys["0"].RevokedMs = now.UnixMilli() + 999_999 // by a clock that is ahead
	check("before the entry is applied", "3")
	changed("0")
	check("after it", "0", "3")
	now = now.Add(11 * time.Millisecond)
	check("later", "0", "3", "4")
	keys["4"].ExpiresMs = now.UnixMilli() + 1000
	changed("4")
	check("after a prolongation", "0", "3")
	if r.revoked("nobody", now) {
		t.Error("an unknown key is revoked: a node that lags would refuse new keys")
	}
}
