package gateway_test

import (
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

func ref(kind gateway.Kind, id string) []gateway.Ref { return []gateway.Ref{{Kind: kind, ID: id}} }

// found refuses where there is no such thing.
func found(res *wire.Result, ok bool) bool {
	if !ok {
		res.Code, res.Message = string(spec.CodeNotFound), "no such thing"
	}
	return ok
}

// expected is the compare-and-set on versions; it returns the next one.
func expected(res *wire.Result, have, expect uint64) uint64 {
	if have != expect {
		res.Code, res.Message = string(spec.CodeConflict), "another version"
		return 0
	}
	res.Version = have + 1
	return res.Version
}

// applyLocked carries a command out, far enough for what is tested here: the real
// one is storage/state's.
func (s *state) applyLocked(c *wire.Command, res *wire.Result) []gateway.Ref {
	switch b := c.Body.(type) {
	case *wire.Command_PutDeployment:
		d := b.PutDeployment.Deployment
		d.Version = s.deployments[d.Name].GetVersion() + 1
		res.Version = d.Version
		s.deployments[d.Name] = d
		return ref(gateway.KindDeployment, d.Name)
	case *wire.Command_PutCanary:
		d := proto.CloneOf(s.deployments[b.PutCanary.Deployment])
		d.LastVersion = d.Newest() + 1
		d.Canary = b.PutCanary.Canary
		d.Canary.Runs.Version, d.Canary.Revision = d.LastVersion, 77
		s.deployments[d.Name], res.Version = d, d.LastVersion
		return ref(gateway.KindDeployment, d.Name)
	case *wire.Command_EndCanary:
		d := proto.CloneOf(s.deployments[b.EndCanary.Deployment])
		if b.EndCanary.Promote {
			d.Run(d.Canary.Runs)
		}
		d.Canary = nil
		s.deployments[d.Name], res.Version = d, d.Version
		return ref(gateway.KindDeployment, d.Name)
	case *wire.Command_RemoveDeployment:
		_, ok := s.deployments[b.RemoveDeployment.Name]
		found(res, ok)
		delete(s.deployments, b.RemoveDeployment.Name)
		return ref(gateway.KindDeployment, b.RemoveDeployment.Name)
	case *wire.Command_PutTenant:
		s.tenants[b.PutTenant.Tenant.Id] = b.PutTenant.Tenant
		return ref(gateway.KindTenant, b.PutTenant.Tenant.Id)
	case *wire.Command_RemoveTenant:
		_, ok := s.tenants[b.RemoveTenant.Id]
		found(res, ok)
		delete(s.tenants, b.RemoveTenant.Id)
		return ref(gateway.KindTenant, b.RemoveTenant.Id)
	case *wire.Command_PutSetting:
		s.settings[b.PutSetting.Name] = gateway.Setting{Name: b.PutSetting.Name, Value: b.PutSetting.Value}
		return ref(gateway.KindSetting, b.PutSetting.Name)
	case *wire.Command_RemoveSetting:
		_, ok := s.settings[b.RemoveSetting.Name]
		found(res, ok)
		delete(s.settings, b.RemoveSetting.Name)
		return ref(gateway.KindSetting, b.RemoveSetting.Name)
	case *wire.Command_PutSecret:
		b.PutSecret.Secret.Version = expected(res, s.secrets[b.PutSecret.Secret.Name].GetVersion(), b.PutSecret.ExpectVersion)
		s.secrets[b.PutSecret.Secret.Name] = b.PutSecret.Secret
		return ref(gateway.KindSecret, b.PutSecret.Secret.Name)
	case *wire.Command_RemoveModel:
		_, ok := s.models[b.RemoveModel.Name]
		found(res, ok)
		delete(s.models, b.RemoveModel.Name)
	case *wire.Command_RevokeToken:
		_, ok := s.tokens[b.RevokeToken.Id]
		found(res, ok)
	case *wire.Command_NoteAudit:
		n := b.NoteAudit
		s.audit = append(s.audit, &wire.AuditEntry{Seq: uint64(len(s.audit) + 1), Index: s.index, AtMs: c.AtMs, Actor: c.Principal, From: c.From,
			Action: n.Action, Target: n.Target, Tenant: n.Tenant, Outcome: n.Outcome, Message: n.Message, Count: n.Count, Request: c.RequestId})
	case *wire.Command_TouchKeys:
		for _, u := range b.TouchKeys.Uses {
			s.used[u.Id] = u.AtMs
		}
	default:
		return s.applyAccessLocked(c, res)
	}
	return nil
}

func (s *state) applyAccessLocked(c *wire.Command, res *wire.Result) []gateway.Ref {
	switch b := c.Body.(type) {
	case *wire.Command_PutKey:
		s.keys[b.PutKey.Key.Id] = b.PutKey.Key
		return ref(gateway.KindKey, b.PutKey.Key.Id)
	case *wire.Command_ChangeKey:
		s.keys[b.ChangeKey.Key.Id] = b.ChangeKey.Key
		return ref(gateway.KindKey, b.ChangeKey.Key.Id)
	case *wire.Command_RotateKey:
		k := proto.CloneOf(s.keys[b.RotateKey.Id])
		k.PreviousHash, k.PreviousUntilMs, k.Hash, k.RotatedMs = k.Hash, c.AtMs+b.RotateKey.OverlapMs, b.RotateKey.Hash, c.AtMs
		s.keys[k.Id] = k
		return ref(gateway.KindKey, k.Id)
	case *wire.Command_RevokeKey:
		k, ok := s.keys[b.RevokeKey.Id]
		if found(res, ok) {
			k = proto.CloneOf(k)
			k.RevokedMs = c.AtMs
			s.keys[k.Id] = k
		}
		return ref(gateway.KindKey, b.RevokeKey.Id)
	case *wire.Command_PutUser:
		u := b.PutUser.User
		if u.Version = expected(res, s.users[u.Id].GetVersion(), b.PutUser.ExpectVersion); u.Version > 0 {
			s.users[u.Id] = u
			if why := b.PutUser.EndSessions; why != "" {
				return append(s.endLocked(&wire.RevokeSession{User: u.Id, Reason: why}, c.AtMs, res), ref(gateway.KindUser, u.Id)...)
			}
		}
		return ref(gateway.KindUser, u.Id)
	case *wire.Command_RemoveUser:
		_, ok := s.users[b.RemoveUser.Id]
		found(res, ok)
		delete(s.users, b.RemoveUser.Id)
		return ref(gateway.KindUser, b.RemoveUser.Id)
	case *wire.Command_PutRole:
		a := b.PutRole.Role
		if a.Version = expected(res, s.roles[a.Id].GetVersion(), b.PutRole.ExpectVersion); a.Version > 0 {
			s.roles[a.Id] = a
		}
		return ref(gateway.KindRole, a.Id)
	case *wire.Command_RemoveRole:
		_, ok := s.roles[b.RemoveRole.Id]
		found(res, ok)
		delete(s.roles, b.RemoveRole.Id)
		return ref(gateway.KindRole, b.RemoveRole.Id)
	case *wire.Command_PutBinding:
		for _, have := range s.bindings {
			if have.Subject == b.PutBinding.Binding.Subject && have.Role == b.PutBinding.Binding.Role && have.Tenant == b.PutBinding.Binding.Tenant {
				return nil
			}
		}
		s.bindings[b.PutBinding.Binding.Id] = b.PutBinding.Binding
		return ref(gateway.KindBinding, b.PutBinding.Binding.Id)
	case *wire.Command_RemoveBinding:
		_, ok := s.bindings[b.RemoveBinding.Id]
		found(res, ok)
		delete(s.bindings, b.RemoveBinding.Id)
		return ref(gateway.KindBinding, b.RemoveBinding.Id)
	case *wire.Command_RevokeSession:
		return s.endLocked(b.RevokeSession, c.AtMs, res)
	}
	return nil
}

func (s *state) endLocked(r *wire.RevokeSession, at int64, res *wire.Result) (refs []gateway.Ref) {
	for id, in := range s.sessions {
		if id == r.Id || r.User != "" && in.User == r.User {
			in = proto.CloneOf(in)
			in.RevokedMs, in.Reason = at, r.Reason
			s.sessions[id] = in
			refs = append(refs, gateway.Ref{Kind: gateway.KindSession, ID: id})
		}
	}
	found(res, r.User != "" || len(refs) > 0)
	return refs
}
