package state

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// about is what the audit log should say of a command: an action without its last
// word, where there being a record tells which, and a target.
func (p *plain) about(c *wire.Command) (action, target string) {
	switch b := c.GetBody().(type) {
	case *wire.Command_PutNode:
		old := p.nodes[b.PutNode.Node.Id]
		if old == nil || old.State == removed && b.PutNode.Node.JoinedMs > old.JoinedMs {
			return "nodes.join", "node:" + b.PutNode.Node.Id
		}
	case *wire.Command_SetNodeState:
		return map[wire.NodeState]string{active: "nodes.resume", draining: "nodes.drain", removed: "nodes.remove"}[b.SetNodeState.State], "node:" + b.SetNodeState.Id
	case *wire.Command_PutTenant:
		return "tenants.", "tenant:" + b.PutTenant.Tenant.Id
	case *wire.Command_RemoveTenant:
		return "tenants.remove", "tenant:" + b.RemoveTenant.Id
	case *wire.Command_PutDeployment:
		return "deployments.", "deployment:" + b.PutDeployment.Deployment.Name
	case *wire.Command_RemoveDeployment:
		return "deployments.remove", "deployment:" + b.RemoveDeployment.Name
	case *wire.Command_PutCanary:
		return "deployments.canary", "deployment:" + b.PutCanary.Deployment
	case *wire.Command_EndCanary:
		return map[bool]string{true: "deployments.canary.promote", false: "deployments.canary.abort"}[b.EndCanary.Promote], "deployment:" + b.EndCanary.Deployment
	case *wire.Command_PutModel:
		return "models.import", "model:" + b.PutModel.Model.Name
	case *wire.Command_RemoveModel:
		return "models.remove", "model:" + b.RemoveModel.Name
	case *wire.Command_PutToken:
		return "tokens.create", "token:" + b.PutToken.Token.Id
	case *wire.Command_UseToken:
		return "tokens.use", "token:" + b.UseToken.Id
	case *wire.Command_PutSecret:
		return "secrets.put", "secret:" + b.PutSecret.Secret.Name
	case *wire.Command_PutSetting:
		return "settings.set", "setting:" + b.PutSetting.Name
	case *wire.Command_RemoveSetting:
		return "settings.remove", "setting:" + b.RemoveSetting.Name
	}
	return p.aboutAccess(c)
}

func (p *plain) aboutAccess(c *wire.Command) (action, target string) {
	switch b := c.GetBody().(type) {
	case *wire.Command_PutKey:
		return "keys.create", "key:" + b.PutKey.Key.Id
	case *wire.Command_RevokeKey:
		return "keys.revoke", "key:" + b.RevokeKey.Id
	case *wire.Command_ChangeKey:
		return "keys.change", "key:" + b.ChangeKey.Key.Id
	case *wire.Command_RotateKey:
		return "keys.rotate", "key:" + b.RotateKey.Id
	case *wire.Command_PutUser:
		return "users.", "user:" + b.PutUser.User.Id
	case *wire.Command_RemoveUser:
		return "users.remove", "user:" + b.RemoveUser.Id
	case *wire.Command_PutRole:
		return "roles.", "role:" + b.PutRole.Role.Id
	case *wire.Command_RemoveRole:
		return "roles.remove", "role:" + b.RemoveRole.Id
	case *wire.Command_PutBinding:
		if have := p.like(b.PutBinding.Binding); have != nil {
			return "bindings.create", "binding:" + have.Id
		}
		return "bindings.create", "binding:" + b.PutBinding.Binding.Id
	case *wire.Command_RemoveBinding:
		return "bindings.remove", "binding:" + b.RemoveBinding.Id
	case *wire.Command_PutSession:
		return "sessions.create", "session:" + b.PutSession.Session.Id
	case *wire.Command_RefreshSession:
		return "sessions.refresh", "session:" + b.RefreshSession.Id
	case *wire.Command_RevokeSession:
		if b.RevokeSession.Id != "" {
			return "sessions.revoke", "session:" + b.RevokeSession.Id
		}
		return "sessions.revoke", "all of user:" + b.RevokeSession.User
	}
	return "", ""
}

// record is the record that a target of the audit log names, nil for none.
func (p *plain) record(target string) proto.Message {
	kind, id, _ := strings.Cut(target, ":")
	switch kind {
	case "node":
		return orNil(p.nodes, id)
	case "tenant":
		return orNil(p.tenants, id)
	case "deployment":
		return orNil(p.deploys, id)
	case "model":
		return orNil(p.models, id)
	case "token":
		return orNil(p.tokens, id)
	case "secret":
		return orNil(p.secrets, id)
	case "setting":
		if value, ok := p.settings[id]; ok {
			return &wire.PutSetting{Name: id, Value: value}
		}
	case "key":
		return orNil(p.keys, id)
	case "user":
		return orNil(p.users, id)
	case "role":
		return orNil(p.roles, id)
	case "binding":
		return orNil(p.bindings, id)
	case "session":
		return orNil(p.sessions, id)
	}
	return nil
}

func orNil[M proto.Message](from map[string]M, id string) proto.Message {
	if m, ok := from[id]; ok {
		return m
	}
	return nil
}

// audited carries out a command that is in the audit log, and writes it there.
func (p *plain) audited(index uint64, c *wire.Command) (code spec.Code, version uint64) {
	p.beside = nil
	action, target := p.about(c)
	before := recordJSON(p.record(target))
	if strings.HasSuffix(action, ".") {
		action += map[bool]string{true: "create", false: "change"}[before == ""]
	}
	own := &wire.AuditEntry{Action: action, Target: strings.TrimPrefix(target, "all of "), Tenant: p.concerned(c, target)}
	code, version = p.carryOut(index, c)
	switch {
	case needs(c) < 2:
		p.beside = nil
	case action == "" || action == "sessions.refresh" && code == "":
	default:
		own.Outcome = string(code)
		if code == "" {
			own.Outcome = "ok"
		}
		if code == spec.CodeSessionReused {
			own.Action = "sessions.reuse"
		}
		if code == "" || code == spec.CodeSessionReused {
			own.Before, own.After = before, recordJSON(p.record(target))
		}
		p.beside = append([]*wire.AuditEntry{own}, p.beside...)
	}
	for _, e := range p.beside {
		e.Index, e.AtMs, e.Actor, e.From, e.Request = index, c.AtMs, c.Principal, c.From, c.RequestId
	}
	p.log = append(p.log, p.beside...)
	return code, version
}

// concerned is the tenant that a command concerns.
func (p *plain) concerned(c *wire.Command, target string) string {
	m := p.record(strings.TrimPrefix(target, "all of "))
	if m == nil { // what is asked for tells
		switch b := c.GetBody().(type) {
		case *wire.Command_PutTenant:
			m = b.PutTenant.Tenant
		case *wire.Command_RemoveTenant:
			return b.RemoveTenant.Id
		case *wire.Command_PutDeployment:
			m = b.PutDeployment.Deployment
		case *wire.Command_PutKey:
			m = b.PutKey.Key
		case *wire.Command_PutUser:
			m = b.PutUser.User
		case *wire.Command_PutRole:
			m = b.PutRole.Role
		case *wire.Command_PutBinding:
			m = b.PutBinding.Binding
		case *wire.Command_PutSession:
			m = b.PutSession.Session
		}
	}
	switch m := m.(type) {
	case *wire.Tenant:
		return m.Id
	case *wire.Session:
		return p.users[m.User].GetTenant()
	case interface{ GetTenant() string }:
		return m.GetTenant()
	}
	return ""
}
