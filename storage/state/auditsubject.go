package state

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A subject is what a command's entry in the audit log is about.
type subject struct {
	action, target, tenant string
	message                string
	failures               bool          // only a refusal is told of
	before                 proto.Message // nil: there was none
	read                   func() (proto.Message, bool)
}

// noted adds the entry that the command's answer makes to what is beside it. What
// was refused has changed nothing, unless stands is true, and shows no record.
func (s *subject) noted(r *wire.Result, stands bool, tallies []string, beside []note) []note {
	if s == nil || (s.failures && r.GetCode() == "") {
		return beside
	}
	n := note{action: s.action, target: s.target, tenant: s.tenant, outcome: r.GetCode(), message: r.GetMessage()}
	if r.GetCode() == "" || stands {
		n.before = s.before
		n.after, _ = s.read()
	}
	if r.GetCode() == string(spec.CodeSessionReused) {
		n.action = "sessions.reuse"
	}
	texts := append([]string{r.GetMessage(), s.message}, tallies...)
	n.message = strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "; ")
	return append([]note{n}, beside...)
}

// about is the subject that is a record. tenant is what the command says of whose it is.
func about[M proto.Message](t *tx, of *table[M], action, kind, id, tenant string) *subject {
	s := &subject{action: action, target: kind + ":" + id}
	s.read = func() (proto.Message, bool) {
		m, ok := of.get(t.view, id)
		if !ok {
			return nil, false
		}
		return m, true
	}
	var exists bool
	if s.before, exists = s.read(); exists {
		tenant = t.tenantOf(s.before)
	}
	s.tenant = tenant
	return s
}

// tenantOf is the tenant that a record concerns; "" is the cluster.
func (v view) tenantOf(m proto.Message) string {
	switch m := m.(type) {
	case *wire.Tenant:
		return m.GetId()
	case *wire.Session:
		u, _ := users.get(v, m.GetUser())
		return u.GetTenant()
	case interface{ GetTenant() string }:
		return m.GetTenant()
	}
	return ""
}

// written completes the action of a command that creates or changes.
func (s *subject) written() *subject {
	if s.before == nil {
		s.action += ".create"
	} else {
		s.action += ".change"
	}
	return s
}

// subject is what the audit log is to say of the command, before it is carried
// out; nil for what it does not tell of: what the cluster does by itself all the time.
func (t *tx) subject() *subject {
	if t.level() < auditLevel {
		return nil
	}
	switch b := t.command.GetBody().(type) {
	case *wire.Command_PutNode:
		return t.joining(b.PutNode.GetNode())
	case *wire.Command_SetNodeState:
		return about(t, &nodes, nodeActions[b.SetNodeState.GetState()], "node", b.SetNodeState.GetId(), "")
	case *wire.Command_PutTenant:
		id := b.PutTenant.GetTenant().GetId()
		return about(t, &tenants, "tenants", "tenant", id, id).written()
	case *wire.Command_RemoveTenant:
		return about(t, &tenants, "tenants.remove", "tenant", b.RemoveTenant.GetId(), b.RemoveTenant.GetId())
	case *wire.Command_PutDeployment:
		d := b.PutDeployment.GetDeployment()
		return about(t, &deploys, "deployments", "deployment", d.GetName(), d.GetTenant()).written()
	case *wire.Command_RemoveDeployment:
		return about(t, &deploys, "deployments.remove", "deployment", b.RemoveDeployment.GetName(), "")
	case *wire.Command_PutCanary:
		return about(t, &deploys, "deployments.canary", "deployment", b.PutCanary.GetDeployment(), "")
	case *wire.Command_EndCanary:
		return t.aboutCanaryEnd(b.EndCanary)
	case *wire.Command_PutModel:
		return about(t, &models, "models.import", "model", b.PutModel.GetModel().GetName(), "")
	case *wire.Command_RemoveModel:
		return about(t, &models, "models.remove", "model", b.RemoveModel.GetName(), "")
	case *wire.Command_PutToken:
		return about(t, &tokens, "tokens.create", "token", b.PutToken.GetToken().GetId(), "")
	case *wire.Command_UseToken:
		s := about(t, &tokens, "tokens.use", "token", b.UseToken.GetId(), "")
		s.message = "by node " + b.UseToken.GetNode()
		return s
	case *wire.Command_RevokeToken:
		return about(t, &tokens, "tokens.revoke", "token", b.RevokeToken.GetId(), "")
	case *wire.Command_PutSecret:
		return about(t, &secrets, "secrets.put", "secret", b.PutSecret.GetSecret().GetName(), "")
	case *wire.Command_PutSetting:
		return t.aboutSetting("settings.set", b.PutSetting.GetName())
	case *wire.Command_RemoveSetting:
		return t.aboutSetting("settings.remove", b.RemoveSetting.GetName())
	}
	return t.accessSubject()
}

func (t *tx) aboutCanaryEnd(c *wire.EndCanary) *subject {
	action := "deployments.canary.abort"
	if c.GetPromote() {
		action = "deployments.canary.promote"
	}
	s := about(t, &deploys, action, "deployment", c.GetDeployment(), "")
	s.message = c.GetReason()
	return s
}

func (t *tx) accessSubject() *subject {
	switch b := t.command.GetBody().(type) {
	case *wire.Command_PutKey:
		return about(t, &apiKeys, "keys.create", "key", b.PutKey.GetKey().GetId(), b.PutKey.GetKey().GetTenant())
	case *wire.Command_RevokeKey:
		return about(t, &apiKeys, "keys.revoke", "key", b.RevokeKey.GetId(), "")
	case *wire.Command_ChangeKey:
		return about(t, &apiKeys, "keys.change", "key", b.ChangeKey.GetKey().GetId(), "")
	case *wire.Command_RotateKey:
		return about(t, &apiKeys, "keys.rotate", "key", b.RotateKey.GetId(), "")
	case *wire.Command_PutUser:
		return about(t, &users, "users", "user", b.PutUser.GetUser().GetId(), b.PutUser.GetUser().GetTenant()).written()
	case *wire.Command_RemoveUser:
		return about(t, &users, "users.remove", "user", b.RemoveUser.GetId(), "")
	case *wire.Command_PutRole:
		return about(t, &roles, "roles", "role", b.PutRole.GetRole().GetId(), b.PutRole.GetRole().GetTenant()).written()
	case *wire.Command_RemoveRole:
		return about(t, &roles, "roles.remove", "role", b.RemoveRole.GetId(), "")
	case *wire.Command_PutBinding:
		id := b.PutBinding.GetBinding().GetId()
		if have, ok := t.bindingLike(b.PutBinding.GetBinding()); ok {
			id = have.GetId()
		}
		return about(t, &bindings, "bindings.create", "binding", id, b.PutBinding.GetBinding().GetTenant())
	case *wire.Command_RemoveBinding:
		return about(t, &bindings, "bindings.remove", "binding", b.RemoveBinding.GetId(), "")
	case *wire.Command_PutSession:
		u, _ := users.get(t.view, b.PutSession.GetSession().GetUser())
		return about(t, &sessions, "sessions.create", "session", b.PutSession.GetSession().GetId(), u.GetTenant())
	case *wire.Command_RefreshSession:
		s := about(t, &sessions, "sessions.refresh", "session", b.RefreshSession.GetId(), "")
		s.failures = true
		return s
	case *wire.Command_RevokeSession:
		if b.RevokeSession.GetId() != "" {
			return about(t, &sessions, "sessions.revoke", "session", b.RevokeSession.GetId(), "")
		}
		u, _ := users.get(t.view, b.RevokeSession.GetUser())
		return &subject{action: "sessions.revoke", target: "user:" + b.RevokeSession.GetUser(), tenant: u.GetTenant(),
			message: b.RevokeSession.GetReason(), read: func() (proto.Message, bool) { return nil, false }}
	}
	return nil
}

var nodeActions = map[wire.NodeState]string{0: "nodes.change", active: "nodes.resume", draining: "nodes.drain", removed: "nodes.remove"}

// joining is the subject of a node's record where it is new to the cluster, or
// comes back.
func (t *tx) joining(n *wire.Node) *subject {
	old, exists := nodes.get(t.view, n.GetId())
	if exists && (old.GetState() != removed || n.GetJoinedMs() <= old.GetJoinedMs()) {
		return nil
	}
	return about(t, &nodes, "nodes.join", "node", n.GetId(), "")
}

// aboutSetting is the subject that is a setting.
func (t *tx) aboutSetting(action, name string) *subject {
	read := func() (proto.Message, bool) {
		value, ok := t.value(append([]byte{settingsTable}, name...))
		if !ok {
			return nil, false
		}
		return &wire.PutSetting{Name: name, Value: hidden(name, string(value))}, true
	}
	s := &subject{action: action, target: "setting:" + name, read: read}
	s.before, _ = read()
	return s
}
