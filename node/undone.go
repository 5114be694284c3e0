package node

import (
	"bytes"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// An Undone is something that was taken from somebody after the restored point,
// and that he has again.
type Undone struct {
	Kind   string    // key, user, binding
	ID     string    // of the record
	Name   string    // of the key or user; of a binding, who has which role
	Tenant string    // empty: the cluster's own
	What   string    // has happened: revoked, removed, ...
	Time   time.Time // when; zero: not known
}

const undonePage = 500

// undone compares the restored state with a later one.
func undone(at, end *state.Store) []Undone {
	var out []Undone
	add := func(kind, id, name, tenant, what string, ms int64) {
		if what == "" {
			return
		}
		u := Undone{Kind: kind, ID: id, Name: name, Tenant: tenant, What: what}
		if ms != 0 {
			u.Time = time.UnixMilli(ms).UTC()
		}
		out = append(out, u)
	}
	pages(at.Keys, "", func(k *wire.APIKey) {
		later, there := end.Key(k.GetId())
		what, ms := keyLost(k, later, there)
		add("key", k.GetId(), k.GetName(), k.GetTenant(), what, ms)
	})
	pages(at.Users, "", func(u *wire.User) {
		later, there := end.User(u.GetId())
		what, ms := userLost(u, later, there)
		add("user", u.GetId(), u.GetName(), u.GetTenant(), what, ms)
	})
	pages(func(_, cursor string, limit int) ([]*wire.Binding, string) { return at.Bindings(cursor, limit) }, "", func(b *wire.Binding) {
		if _, there := end.Binding(b.GetId()); !there {
			add("binding", b.GetId(), b.GetSubject()+" has "+b.GetRole(), b.GetTenant(), "removed", 0)
		}
	})
	return out
}

func pages[M proto.Message](list func(tenant, cursor string, limit int) ([]M, string), tenant string, each func(M)) {
	for cursor := ""; ; {
		page, next := list(tenant, cursor, undonePage)
		for _, m := range page {
			each(m)
		}
		if next == "" {
			return
		}
		cursor = next
	}
}

// keyLost says what a key, as it was, lost until later. "": nothing.
func keyLost(k, later *wire.APIKey, there bool) (what string, ms int64) {
	switch {
	case k.GetRevokedMs() != 0:
		return "", 0
	case !there:
		return "removed", 0
	case later.GetRevokedMs() != 0:
		return "revoked", later.GetRevokedMs()
	case !bytes.Equal(k.GetHash(), later.GetHash()):
		return "given a new secret", later.GetRotatedMs()
	case later.GetChangedMs() != k.GetChangedMs():
		return "changed", later.GetChangedMs()
	}
	return "", 0
}

func userLost(u, later *wire.User, there bool) (what string, ms int64) {
	switch {
	case !there:
		return "removed", 0
	case u.GetDisabledMs() == 0 && later.GetDisabledMs() != 0:
		return "disabled", later.GetDisabledMs()
	case u.GetPassword() != later.GetPassword():
		return "given a new password", later.GetChangedMs()
	}
	for _, group := range u.GetGroups() {
		if !slices.Contains(later.GetGroups(), group) {
			return "taken out of a group", later.GetChangedMs()
		}
	}
	return "", 0
}
