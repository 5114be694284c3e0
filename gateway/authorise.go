package gateway

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/guard"
)

// A target is what an operation is done to, as far as this node's copy of the
// state knows.
type target struct {
	access.Resource
	known bool   // there is such a thing; else only who has the whole cluster learns that there is not
	plain bool   // a refusal tells nothing that the name does not: it need not be hidden whether there is one
	owner string // user whose own it is; empty: nobody's
}

// authorise tells why the caller may not do the operation, or nil.
func (r *request) authorise(op *Operation) error {
	if op.on != nil {
		t := op.on(r)
		if !t.known && !r.ctx.IsGet() && !r.ctx.IsHead() && r.g.cfg.Barrier != nil {
			// It may have been made a moment ago: a write is not answered from an old copy.
			if _, err := r.barrier(); err != nil {
				return err
			}
			t = op.on(r)
		}
		return r.need(op, t)
	}
	if op.self && r.me() != "" || r.somewhere(op.Verb) || op.Own != "" && r.who.User != "" && r.somewhere(op.Own) {
		return nil
	}
	return r.denied(op.Verb, access.In(r.who.Tenant))
}

// need is authorise for one thing. Who may not know of a thing is answered as if
// there were none.
func (r *request) need(op *Operation, t target) error {
	switch {
	case r.who.May(op.Verb, t.Resource), op.self && t.owner != "" && t.owner == r.me():
		return nil
	case r.owns(t, op.Own):
		return nil
	case t.plain, t.known && r.who.May(readOf[t.Kind], t.Resource):
		return r.denied(op.Verb, t.Resource)
	case r.somewhere(op.Verb), op.Own != "" && r.somewhere(op.Own):
		return r.none(t.Resource)
	default:
		return r.denied(op.Verb, access.Resource{Kind: t.Kind, Name: t.Name}) // known or not: the same text
	}
}

// must is for a thing that the caller names within a request.
func (r *request) must(v access.Verb, to access.Resource) error {
	if r.who.May(v, to) {
		return nil
	}
	return r.denied(v, to)
}

// owns tells whether the thing is the caller's own and the verb for such things is given.
func (r *request) owns(t target, own access.Verb) bool {
	return own != "" && t.owner != "" && t.owner == r.who.User && r.who.May(own, t.Resource)
}

// me is the user whose session it is; empty where a key asks, also a user's own:
// a key is given what its scopes say, and nothing by itself.
func (r *request) me() string {
	if r.who.Session == "" {
		return ""
	}
	return r.who.User
}

// readOf is the verb to know of things of a kind.
var readOf = map[string]access.Verb{
	access.KindCluster: access.ClusterRead, access.KindTenant: access.TenantsRead, access.KindModel: access.ModelsRead,
	access.KindDeployment: access.DeploymentsRead, access.KindNode: access.NodesRead, access.KindToken: access.TokensRead,
	access.KindSetting: access.SettingsRead, access.KindKey: access.KeysRead, access.KindUser: access.UsersRead,
	access.KindRole: access.RolesRead, access.KindBinding: access.RolesRead, access.KindSession: access.SessionsRead,
}

func (r *request) none(to access.Resource) error {
	return spec.Errorf(spec.CodeNotFound, "There is no %s %q.", to.Kind, clip(to.Name, 100))
}

const askForRole = "Ask for a role that has it, or use another credential; lotabots auth can-i tells what yours may do."

// somewhere tells whether the caller may do the verb to anything at all.
func (r *request) somewhere(v access.Verb) bool { return r.who.Somewhere(v) }

// denied refuses what a permission is missing for.
func (r *request) denied(v access.Verb, to access.Resource) error {
	d := r.who.Explain(v, to)
	r.g.notes.Add(guard.Event{Actor: r.who.Actor(), From: r.from(), Action: "access.denied", Target: d.Resource, Tenant: to.Tenant,
		Outcome: string(spec.CodeForbidden), Message: string(v)})
	return &spec.Error{Code: spec.CodeForbidden, Message: d.Text, Hint: askForRole}
}

// unconfined refuses a key that is narrowed beyond its scopes what would not be:
// whoever makes another credential by it, or gives more to one, is out of its bounds.
func (r *request) unconfined(doing string) error {
	if !r.who.Confined() {
		return nil
	}
	r.g.notes.Add(guard.Event{Actor: r.who.Actor(), From: r.from(), Action: "access.denied", Target: "key:" + r.who.Key, Tenant: r.who.Tenant,
		Outcome: string(spec.CodeForbidden), Message: doing})
	return &spec.Error{Code: spec.CodeForbidden, Message: "The key is limited to some models, regions, endpoints or addresses, and so may not " + doing + ": that would not be limited.",
		Hint: "Use a session, or a key without such limits."}
}

// covered refuses to give away, or to act on, more than the caller has.
func (r *request) covered(other access.Grants, doing string) error {
	missing, ok := r.who.Covers(other)
	if ok {
		return nil
	}
	r.g.notes.Add(guard.Event{Actor: r.who.Actor(), From: r.from(), Action: "access.denied", Target: missing.String(), Tenant: r.who.Tenant,
		Outcome: string(spec.CodeForbidden), Message: doing})
	return &spec.Error{Code: spec.CodeForbidden, Message: "You lack " + missing.String() + " yourself, and so may not " + doing + ".", Hint: askForRole}
}
