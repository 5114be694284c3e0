package gateway

import (
	"iter"
	"log/slog"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/limit"
)

// follow takes over what an entry changed. It runs inside apply and must not
// block: it waits for New alone, whose reading of everything must not undo a
// change that comes meanwhile.
func (g *Gateway) follow(c Change) {
	g.following.Lock()
	defer g.following.Unlock()
	if c.Reset {
		g.reload()
	} else {
		g.followRecords(c.Records)
	}
	if c.Index > g.seen.Load() {
		g.seen.Store(c.Index)
	}
}

// reload reads everything anew.
func (g *Gateway) reload() {
	s := g.cfg.State
	signing, _ := s.Secret(spec.SessionSigningSecret)
	g.signed(g.keys.Load(auth.Records{
		Keys:     every(func(cursor string) ([]*wire.APIKey, string) { return s.Keys("", cursor, mostPage) }),
		Tenants:  g.limits.reading(g.aged(every(func(cursor string) ([]*wire.Tenant, string) { return s.TenantsPage(cursor, mostPage) }))),
		Users:    every(func(cursor string) ([]*wire.User, string) { return s.Users("", cursor, mostPage) }),
		Roles:    every(func(cursor string) ([]*wire.AccessRole, string) { return s.Roles(cursor, mostPage) }),
		Bindings: every(func(cursor string) ([]*wire.Binding, string) { return s.Bindings(cursor, mostPage) }),
		Sessions: every(func(cursor string) ([]*wire.Session, string) { return s.Sessions(cursor, mostPage) }),
		Signing:  signing.GetPublic(),
		Epoch:    g.epoch(),
	}))
	endpoints, _ := s.Setting(spec.SettingEndpointLimits)
	g.limits.putEndpoints(endpoints)
	g.catalog.reload()
	g.traffic.reload(every(func(cursor string) ([]Setting, string) { return s.SettingsPage(cursor, mostPage) }))
	g.ranks.reload(every(func(cursor string) ([]Setting, string) { return s.SettingsPage(cursor, mostPage) }))
}

// aged notes each tenant's age on its way.
func (g *Gateway) aged(all iter.Seq[*wire.Tenant]) iter.Seq[*wire.Tenant] {
	return func(yield func(*wire.Tenant) bool) {
		for t := range all {
			if g.ages.put(t.GetId(), t); !yield(t) {
				return
			}
		}
	}
}

// every walks all pages.
func every[R any](page func(cursor string) ([]R, string)) iter.Seq[R] {
	return func(yield func(R) bool) {
		for cursor := ""; ; {
			found, next := page(cursor)
			for _, r := range found {
				if !yield(r) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

// epoch is the cluster's session epoch.
func (g *Gateway) epoch() uint64 {
	text, _ := g.cfg.State.Setting(spec.SettingSessionEpoch)
	n, _ := strconv.ParseUint(text, 10, 64) // 0: there was never another
	return n
}

func (g *Gateway) signed(err error) {
	if err != nil {
		g.cfg.Log.Error("the keys of access tokens cannot be read: no session is let in by a new one", slog.Any("error", err))
	}
}

func (g *Gateway) followRecords(records []Ref) {
	reload := false
	for _, r := range records {
		switch r.Kind {
		case KindKey:
			g.followKey(r.ID)
		case KindDeployment, KindPlacement:
			reload = true
			if _, ok := g.cfg.State.Deployment(r.ID); r.Kind == KindDeployment && !ok {
				g.limiter.Forget(limit.OfDeployment, r.ID)
			}
		case KindSecret:
			if r.ID == spec.SessionSigningSecret {
				secret, _ := g.cfg.State.Secret(r.ID)
				g.signed(g.keys.SetSigning(secret.GetPublic()))
			}
		case KindSetting:
			switch r.ID {
			case spec.SettingSessionEpoch:
				g.keys.SetEpoch(g.epoch())
			case spec.SettingEndpointLimits:
				value, _ := g.cfg.State.Setting(r.ID)
				g.limits.putEndpoints(value)
			}
			g.ranks.follow(r.ID, g.cfg.State.Setting)
			g.traffic.follow(r.ID, g.cfg.State.Setting)
		default:
			g.followAccess(r)
		}
	}
	if reload {
		g.catalog.reload()
	}
}

// followAccess takes over a record of who may do what.
func (g *Gateway) followAccess(r Ref) {
	s := g.cfg.State
	if g.droppedEnd(r) {
		return
	}
	switch r.Kind {
	case KindTenant:
		t, ok := s.Tenant(r.ID)
		if !ok {
			g.limiter.Forget(limit.OfTenant, r.ID)
		}
		g.ages.put(r.ID, t)
		g.limits.putTenant(r.ID, t)
		took(s.Tenant, r.ID, g.keys.PutTenant, g.keys.RemoveTenant)
	case KindUser:
		took(s.User, r.ID, g.keys.PutUser, g.keys.RemoveUser)
	case KindRole:
		took(s.Role, r.ID, g.keys.PutRole, g.keys.RemoveRole)
	case KindBinding:
		took(s.Binding, r.ID, g.keys.PutBinding, g.keys.RemoveBinding)
	case KindSession:
		took(s.Session, r.ID, g.keys.PutSession, g.keys.RemoveSession)
	}
}

// took puts the record of that id as it is, or removes it where there is none.
func took[R any](read func(string) (R, bool), id string, put func(R), remove func(string)) {
	if record, ok := read(id); ok {
		put(record)
	} else {
		remove(id)
	}
}

func (g *Gateway) followKey(id string) {
	k, ok := g.cfg.State.Key(id)
	switch {
	case !ok:
		g.keys.RemoveKey(id)
	case droppedRevoke(k):
		return
	default:
		g.keys.PutKey(k)
	}
	if !ok || k.GetRevokedMs() != 0 {
		g.limiter.Forget(limit.OfKey, id)
	}
}
