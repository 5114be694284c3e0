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

// keyring is a keyReader over maps, in pages of two.
type keyring struct {
	keys  map[string]*wire.APIKey
	users map[string]*wire.User
}

func (k keyring) Key(id string) (*wire.APIKey, bool) { r, ok := k.keys[id]; return r, ok }
func (k keyring) User(id string) (*wire.User, bool)  { r, ok := k.users[id]; return r, ok }

func (k keyring) Keys(_, cursor string, limit int) ([]*wire.APIKey, string) {
	return k.KeysOf("", cursor, limit)
}

func (k keyring) KeysOf(owner, cursor string, _ int) (page []*wire.APIKey, next string) {
	for _, id := range slices.Sorted(maps.Keys(k.keys)) {
		if id <= cursor && cursor != "" || owner != "" && k.keys[id].GetOwner() != owner {
			continue
		}
		if len(page) == 2 {
			return page, page[1].GetId()
		}
		page = append(page, k.keys[id])
	}
	return page, ""
}

func TestRevocationsFollowTheKeys(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	ring := keyring{map[string]*wire.APIKey{}, map[string]*wire.User{"u1": {Id: "u1"}}}
	keys := ring.keys
	for i := range 5 {
		keys[fmt.Sprint(i)] = &wire.APIKey{Id: fmt.Sprint(i)}
	}
	keys["3"].RevokedMs = 5
	keys["4"].ExpiresMs = now.UnixMilli() + 10
	r := newRevocations()
	r.follow(state.Change{Reset: true}, ring)
	check := func(when string, want ...string) {
		t.Helper()
		for id := range keys {
			if got := r.revoked(id, now); got != slices.Contains(want, id) {
				t.Errorf("%s: key %s revoked: %v", when, id, got)
			}
		}
	}
	changed := func(id string) {
		r.follow(state.Change{Records: []state.Ref{{Kind: state.KindTenant, ID: id}, {Kind: state.KindKey, ID: id}}}, ring)
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
	owned := func(id string) {
		r.follow(state.Change{Records: []state.Ref{{Kind: state.KindUser, ID: id}}}, ring)
	}
	for _, id := range []string{"1", "2", "4"} {
		keys[id].Owner = "u1"
		changed(id)
	}
	check("with an owner", "0", "3")
	ring.users["u1"] = &wire.User{Id: "u1", DisabledMs: 1}
	owned("u1")
	check("whose owner is disabled", "0", "1", "2", "3", "4")
	ring.users["u1"] = &wire.User{Id: "u1"}
	owned("u1")
	check("whose owner is back", "0", "3")
	delete(ring.users, "u1")
	owned("u1")
	check("whose owner is gone", "0", "1", "2", "3", "4")
	if r.revoked("nobody", now) {
		t.Error("an unknown key is revoked: a node that lags would refuse new keys")
	}
}

// ledger is a sessionReader over maps.
type ledger struct {
	keyring
	sessions map[string]*wire.Session
}

func (l ledger) Session(id string) (*wire.Session, bool) { s, ok := l.sessions[id]; return s, ok }

func TestSessionsEnd(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	l := ledger{keyring{users: map[string]*wire.User{"u": {Id: "u"}, "off": {Id: "off", DisabledMs: 1}}}, map[string]*wire.Session{
		"good":    {User: "u", ExpiresMs: now.UnixMilli() + 1},
		"over":    {User: "u", ExpiresMs: now.UnixMilli()},
		"revoked": {User: "u", ExpiresMs: now.UnixMilli() + 1, RevokedMs: 7},
		"off":     {User: "off", ExpiresMs: now.UnixMilli() + 1},
		"orphan":  {User: "gone", ExpiresMs: now.UnixMilli() + 1},
	}}
	for id, want := range map[string]bool{"good": false, "over": true, "revoked": true, "off": true, "orphan": true, "not known yet": false} {
		if got := sessionEnded(l, id, now); got != want {
			t.Errorf("session %s has ended: %v", id, got)
		}
	}
}
