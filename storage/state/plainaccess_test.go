package state

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// plainAccess is the part of plain that feature level 2 brought.
type plainAccess struct {
	users    map[string]*wire.User
	gone     map[string]bool // ids of users
	roles    map[string]*wire.AccessRole
	bindings map[string]*wire.Binding
	sessions map[string]*wire.Session
	uses     map[string]int64
	log      []*wire.AuditEntry // without what chains them
	beside   []*wire.AuditEntry // of the last command, beside its own
}

func newPlainAccess() plainAccess {
	return plainAccess{map[string]*wire.User{}, map[string]bool{}, map[string]*wire.AccessRole{}, map[string]*wire.Binding{},
		map[string]*wire.Session{}, map[string]int64{}, nil, nil}
}

func (p *plain) carryOutAccess(c *wire.Command) (code spec.Code, version uint64) {
	at := c.AtMs
	switch b := proto.CloneOf(c).GetBody().(type) {
	case *wire.Command_PutUser:
		return p.putUser(b.PutUser.User, b.PutUser.ExpectVersion, b.PutUser.EndSessions, at)
	case *wire.Command_RemoveUser:
		return p.removeUser(b.RemoveUser.Id, at), 0
	case *wire.Command_PutRole:
		return p.putRole(b.PutRole.Role, b.PutRole.ExpectVersion, at)
	case *wire.Command_RemoveRole:
		for _, have := range p.bindings {
			if p.roles[b.RemoveRole.Id] != nil && have.Role == b.RemoveRole.Id {
				return spec.CodeConflict, 0
			}
		}
		return drop(p, p.roles, KindRole, b.RemoveRole.Id), 0
	case *wire.Command_PutBinding:
		return p.putBinding(b.PutBinding.Binding, at), 0
	case *wire.Command_RemoveBinding:
		return drop(p, p.bindings, KindBinding, b.RemoveBinding.Id), 0
	case *wire.Command_PutSession:
		return p.putSession(b.PutSession.Session, at)
	case *wire.Command_RefreshSession:
		return p.refresh(b.RefreshSession, at)
	case *wire.Command_RevokeSession:
		return p.revokeSession(b.RevokeSession, at), 0
	case *wire.Command_ChangeKey:
		return p.changeKey(b.ChangeKey, at)
	case *wire.Command_RotateKey:
		k := p.keys[b.RotateKey.Id]
		if code := p.inForce(k, at); code != "" {
			return code, 0
		}
		if bytes.Equal(k.Hash, b.RotateKey.Hash) {
			return spec.CodeInvalidRequest, 0
		}
		k.PreviousHash, k.PreviousUntilMs = k.Hash, at+b.RotateKey.OverlapMs
		if b.RotateKey.OverlapMs == 0 {
			k.PreviousHash, k.PreviousUntilMs = nil, 0
		}
		k.Hash, k.RotatedMs = b.RotateKey.Hash, at
		k.Version++
		p.touch(KindKey, k.Id)
		return "", k.Version
	case *wire.Command_TouchKeys:
		for _, u := range b.TouchKeys.Uses {
			if p.keys[u.Id] != nil {
				p.uses[u.Id] = max(p.uses[u.Id], min(u.AtMs, at))
			}
		}
		return "", 0
	case *wire.Command_RemoveTenant:
		return p.removeTenant(b.RemoveTenant.Id, at), 0
	case *wire.Command_RemoveSetting:
		return drop(p, p.settings, KindSetting, b.RemoveSetting.Name), 0
	case *wire.Command_NoteAudit:
		n := b.NoteAudit
		p.beside = append(p.beside, &wire.AuditEntry{Action: n.Action, Target: n.Target, Tenant: n.Tenant, Outcome: "ok"})
		return "", 0
	}
	panic("the model test makes a command that the model does not know")
}

// drop removes what must be there.
func drop[T any](p *plain, from map[string]T, kind Kind, id string) spec.Code {
	if _, ok := from[id]; !ok {
		return spec.CodeNotFound
	}
	delete(from, id)
	p.touch(kind, id)
	return ""
}

func (p *plain) putUser(u *wire.User, expect uint64, end string, at int64) (spec.Code, uint64) {
	old := p.users[u.Id]
	switch {
	case u.Tenant != "" && p.tenants[u.Tenant] == nil:
		return spec.CodeNotFound, 0
	case expect == 0 && (old != nil || p.gone[u.Id]):
		return spec.CodeAlreadyExists, 0
	case expect != 0 && old == nil:
		return spec.CodeNotFound, 0
	case old.GetVersion() != expect:
		return spec.CodeConflict, 0
	}
	for _, o := range p.users {
		if o.Id != u.Id && (o.Name == u.Name || u.Subject != "" && o.Subject == u.Subject) {
			return spec.CodeAlreadyExists, 0
		}
	}
	u.Version, u.CreatedMs, u.ChangedMs = expect+1, at, at
	if old != nil {
		u.CreatedMs = old.CreatedMs
	}
	p.users[u.Id] = u
	p.touch(KindUser, u.Id)
	switch {
	case u.DisabledMs != 0:
		p.endSessions(u.Id, "the user was disabled", at)
	case end != "":
		p.endSessions(u.Id, end, at)
	}
	return "", u.Version
}

func (p *plain) endSessions(user, why string, at int64) {
	for _, s := range p.sessions {
		if s.User == user && s.RevokedMs == 0 && s.ExpiresMs > at {
			p.endSession(s, why, at)
		}
	}
}

func (p *plain) endSession(s *wire.Session, why string, at int64) {
	s.RevokedMs, s.Reason = at, why
	p.touch(KindSession, s.Id)
}

func (p *plain) removeUser(id string, at int64) spec.Code {
	if p.users[id] == nil {
		return spec.CodeNotFound
	}
	for _, k := range byName(p.keys) {
		if k.Owner == id && k.RevokedMs == 0 {
			before := recordJSON(k)
			p.endKey(k, at)
			p.beside = append(p.beside, &wire.AuditEntry{Action: "keys.revoke", Target: "key:" + k.Id, Tenant: k.Tenant, Outcome: "ok", Before: before, After: recordJSON(k)})
		}
	}
	p.endSessions(id, "the user was removed", at)
	p.dropBindings(func(b *wire.Binding) bool { return b.Subject == "user:"+id })
	p.gone[id] = true
	return drop(p, p.users, KindUser, id)
}

func (p *plain) endKey(k *wire.APIKey, at int64) {
	k.RevokedMs = at
	p.touch(KindKey, k.Id)
	p.dropBindings(func(b *wire.Binding) bool { return b.Subject == "key:"+k.Id })
}

func (p *plain) dropBindings(which func(*wire.Binding) bool) {
	for _, b := range byName(p.bindings) {
		if which(b) {
			p.beside = append(p.beside, &wire.AuditEntry{Action: "bindings.remove", Target: "binding:" + b.Id, Tenant: b.Tenant, Outcome: "ok", Before: recordJSON(b)})
			drop(p, p.bindings, KindBinding, b.Id)
		}
	}
}

func (p *plain) putRole(r *wire.AccessRole, expect uint64, at int64) (spec.Code, uint64) {
	old := p.roles[r.Id]
	switch {
	case r.Tenant != "" && p.tenants[r.Tenant] == nil:
		return spec.CodeNotFound, 0
	case expect == 0 && old != nil:
		return spec.CodeAlreadyExists, 0
	case expect != 0 && old == nil:
		return spec.CodeNotFound, 0
	case old.GetVersion() != expect:
		return spec.CodeConflict, 0
	}
	r.Version, r.CreatedMs, r.ChangedMs = expect+1, at, at
	if old != nil {
		r.CreatedMs = old.CreatedMs
	}
	p.roles[r.Id] = r
	p.touch(KindRole, r.Id)
	return "", r.Version
}

func (p *plain) putBinding(b *wire.Binding, at int64) spec.Code {
	kind, of, _ := strings.Cut(b.Subject, ":")
	role := p.roles[b.Role]
	switch {
	case b.Tenant != "" && p.tenants[b.Tenant] == nil,
		kind == "user" && p.users[of] == nil,
		kind == "key" && (p.keys[of] == nil || p.keys[of].RevokedMs != 0),
		b.Role != "viewer" && role == nil:
		return spec.CodeNotFound
	case role.GetTenant() != "" && role.GetTenant() != b.Tenant:
		return spec.CodeInvalidRequest
	}
	if p.like(b) != nil {
		return ""
	}
	if p.bindings[b.Id] != nil {
		return spec.CodeAlreadyExists
	}
	b.CreatedMs = at
	p.bindings[b.Id] = b
	p.touch(KindBinding, b.Id)
	return ""
}

func (p *plain) like(b *wire.Binding) *wire.Binding {
	for _, have := range p.bindings {
		if have.Subject == b.Subject && have.Role == b.Role && have.Tenant == b.Tenant {
			return have
		}
	}
	return nil
}

func (p *plain) putSession(s *wire.Session, at int64) (spec.Code, uint64) {
	u := p.users[s.User]
	switch {
	case s.ExpiresMs <= at:
		return spec.CodeInvalidRequest, 0
	case p.sessions[s.Id] != nil:
		return spec.CodeAlreadyExists, 0
	case u == nil:
		return spec.CodeNotFound, 0
	case u.DisabledMs != 0:
		return spec.CodeUserDisabled, 0
	}
	s.CreatedMs, s.RefreshedMs, s.Generation = at, at, 1
	p.sessions[s.Id] = s
	p.touch(KindSession, s.Id)
	return "", 1
}

func (p *plain) refresh(c *wire.RefreshSession, at int64) (spec.Code, uint64) {
	s := p.sessions[c.Id]
	switch {
	case bytes.Equal(c.TokenHash, c.NextHash):
		return spec.CodeInvalidRequest, 0
	case s == nil || !bytes.Equal(s.FamilyHash, c.FamilyHash):
		return spec.CodeInvalidRefresh, 0
	case s.RevokedMs != 0 || s.ExpiresMs <= at:
		return spec.CodeSessionEnded, 0
	case bytes.Equal(s.RefreshHash, c.TokenHash):
		s.PreviousHash, s.RefreshHash, s.RefreshedMs, s.From, s.Agent = s.RefreshHash, c.NextHash, at, c.From, c.Agent
		s.Generation++
		p.touch(KindSession, s.Id)
		return "", s.Generation
	case bytes.Equal(s.PreviousHash, c.TokenHash) && bytes.Equal(s.RefreshHash, c.NextHash) && at <= s.RefreshedMs+10_000:
		return "", s.Generation
	}
	p.endSession(s, "a refresh token was used again", at)
	return spec.CodeSessionReused, 0
}

func (p *plain) revokeSession(c *wire.RevokeSession, at int64) spec.Code {
	if c.Id == "" {
		if p.users[c.User] == nil {
			return spec.CodeNotFound
		}
		p.endSessions(c.User, c.Reason, at)
		return ""
	}
	s := p.sessions[c.Id]
	if s == nil || c.User != "" && s.User != c.User {
		return spec.CodeNotFound
	}
	if s.RevokedMs == 0 {
		p.endSession(s, c.Reason, at)
	}
	return ""
}

func (p *plain) inForce(k *wire.APIKey, at int64) spec.Code {
	switch {
	case k == nil:
		return spec.CodeNotFound
	case k.RevokedMs != 0 || k.ExpiresMs != 0 && k.ExpiresMs <= at:
		return spec.CodeConflict
	}
	return ""
}

// ownable tells whether a user may own a key from now on.
func (p *plain) ownable(user string) spec.Code {
	switch u := p.users[user]; {
	case user == "":
		return ""
	case u == nil:
		return spec.CodeNotFound
	case u.DisabledMs != 0:
		return spec.CodeConflict
	}
	return ""
}

func (p *plain) changeKey(c *wire.ChangeKey, at int64) (spec.Code, uint64) {
	to := c.Key
	k := p.keys[to.Id]
	if code := p.inForce(k, at); code != "" {
		return code, 0
	}
	if c.ExpectVersion != nil && *c.ExpectVersion != k.Version {
		return spec.CodeConflict, 0
	}
	for _, o := range p.keys {
		if o.Id != k.Id && o.Tenant == k.Tenant && o.Name == to.Name && p.inForce(o, at) == "" {
			return spec.CodeAlreadyExists, 0
		}
	}
	if code := p.ownable(to.Owner); code != "" && to.Owner != k.Owner {
		return code, 0
	}
	k.Name, k.Owner, k.ExpiresMs, k.Scopes, k.ChangedMs = to.Name, to.Owner, to.ExpiresMs, to.Scopes, at
	k.Version++
	p.touch(KindKey, k.Id)
	return "", k.Version
}

func (p *plain) removeTenant(id string, at int64) spec.Code {
	if p.tenants[id] == nil {
		return spec.CodeNotFound
	}
	for _, k := range p.keys {
		if k.Tenant == id && p.inForce(k, at) == "" {
			return spec.CodeConflict
		}
	}
	for _, u := range p.users {
		if u.Tenant == id {
			return spec.CodeConflict
		}
	}
	for _, d := range p.deploys {
		if d.Tenant == id {
			return spec.CodeConflict
		}
	}
	p.dropBindings(func(b *wire.Binding) bool { return b.Tenant == id })
	for _, name := range slices.Sorted(maps.Keys(p.roles)) {
		if r := p.roles[name]; r.Tenant == id {
			p.beside = append(p.beside, &wire.AuditEntry{Action: "roles.remove", Target: "role:" + name, Tenant: id, Outcome: "ok", Before: recordJSON(r)})
			drop(p, p.roles, KindRole, name)
		}
	}
	return drop(p, p.tenants, KindTenant, id)
}
