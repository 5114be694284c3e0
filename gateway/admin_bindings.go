package gateway

import (
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

type bindingView struct {
	ID        string `json:"id"`
	Subject   string `json:"subject"` // user:ID, group:NAME or key:ID
	Role      string `json:"role"`
	Tenant    string `json:"tenant"` // empty: the whole cluster
	CreatedMS int64  `json:"created_ms"`
	CreatedBy string `json:"created_by"`
}

func viewBinding(b *wire.Binding) bindingView {
	return bindingView{ID: b.GetId(), Subject: b.GetSubject(), Role: b.GetRole(), Tenant: b.GetTenant(), CreatedMS: b.GetCreatedMs(), CreatedBy: b.GetCreatedBy()}
}

func listBindings(r *request) error {
	read := r.g.cfg.State
	l := listing[*wire.Binding, bindingView]{
		id: (*wire.Binding).GetId, show: viewBinding, walk: read.Bindings,
		in: func(tenant string) walk[*wire.Binding] {
			return func(cursor string, limit int) ([]*wire.Binding, string) {
				return read.BindingsIn(tenant, cursor, limit)
			}
		},
		sees: func(b *wire.Binding) bool {
			return r.who.May(access.RolesRead, access.Resource{Kind: access.KindBinding, Name: b.GetId(), Tenant: b.GetTenant()})
		},
	}
	if subject := string(r.ctx.QueryArgs().Peek("subject")); subject != "" {
		return onePage(r, l, []walk[*wire.Binding]{func(cursor string, limit int) ([]*wire.Binding, string) {
			return read.BindingsOf(subject, cursor, limit)
		}})
	}
	return lists(r, access.RolesRead, l)
}

const (
	kindGroup  = "group"
	maxGroup   = 256 // bytes of a group's name
	subjectHow = "must be user:ID, group:NAME or key:ID"
)

func createBinding(r *request) error {
	var ask struct {
		Subject string  `json:"subject"`
		Role    string  `json:"role"`
		Tenant  *string `json:"tenant"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	id, err := r.freshID()
	if err != nil {
		return err
	}
	b := &wire.Binding{Id: id, Subject: ask.Subject, Role: ask.Role, Tenant: r.who.Tenant, CreatedMs: time.Now().UnixMilli(), CreatedBy: r.who.Actor()}
	change(&b.Tenant, ask.Tenant)
	if err := r.must(access.RolesWrite, access.In(b.GetTenant())); err != nil {
		return err
	}
	f.check(len(b.GetTenant()) <= maxTenantID, "tenant", "must have at most 100 bytes")
	var role *wire.AccessRole
	if err := r.judge(f, func() {
		r.checkSubject(f, ask.Subject)
		var ok bool
		role, ok = r.g.role(ask.Role)
		ok = ok && (role.GetTenant() == "" || role.GetTenant() == b.GetTenant() || r.who.May(access.RolesRead, roleResource(role)))
		f.there(ok, "role", "names no role: see lotabots roles list")
		f.check(!ok || role.GetTenant() == "" || role.GetTenant() == b.GetTenant(), "tenant", "must be "+role.GetTenant()+", which the role is of")
	}); err != nil {
		return err
	}
	if err := r.unconfined("create bindings"); err != nil {
		return err
	}
	if err := r.covered(roleGrants(role, b.GetTenant()), "give it to others"); err != nil {
		return err
	}
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutBinding{PutBinding: &wire.PutBinding{Binding: b}}})
	if err != nil {
		return err
	}
	r.ctx.Response.Header.Set(HeaderStateIndex, itoa(int64(res.GetIndex())))
	return r.json(201, viewBinding(r.g.bound(b)))
}

// checkSubject wants the subject to be of a known form, and what it names to be
// something that the caller may know of.
func (r *request) checkSubject(f *form, subject string) {
	kind, name, _ := strings.Cut(subject, ":")
	switch kind {
	case access.KindUser:
		t := r.userTarget(name)
		ok := t.known && (name == r.who.User || r.who.May(access.UsersRead, t.Resource))
		f.there(ok, "subject", "names no user: give an id, as lotabots users list shows")
	case access.KindKey:
		k, known := r.g.cfg.State.Key(name)
		f.there(known && r.who.May(access.KeysRead, keyResource(k)), "subject", "names no key: give an id, as lotabots keys list shows")
	case kindGroup:
		f.check(name != "" && len(name) <= maxGroup, "subject", "must have a group's name of 1 to 256 bytes")
	default:
		f.add("subject", subjectHow)
	}
}

// bound is the binding in force for the same subject, role and tenant: an older
// one, where there was one.
func (g *Gateway) bound(b *wire.Binding) *wire.Binding {
	for cursor := ""; ; {
		page, next := g.cfg.State.BindingsOf(b.GetSubject(), cursor, mostPage)
		for _, have := range page {
			if have.GetRole() == b.GetRole() && have.GetTenant() == b.GetTenant() {
				return have
			}
		}
		if cursor = next; cursor == "" {
			return b
		}
	}
}

func removeBinding(r *request) error {
	id := r.param("id")
	b, ok := r.g.cfg.State.Binding(id)
	if !ok {
		return r.none(theBinding(r).Resource)
	}
	if role, known := r.g.role(b.GetRole()); known {
		if err := r.covered(roleGrants(role, b.GetTenant()), "take it from others"); err != nil {
			return err
		}
	}
	return r.revoke(id, r.g.tenantOfSubject(b.GetSubject()), &wire.Command{Body: &wire.Command_RemoveBinding{RemoveBinding: &wire.RemoveBinding{Id: id}}})
}

// tenantOfSubject is the tenant by which a binding's subject is let in; empty: it
// may be any.
func (g *Gateway) tenantOfSubject(subject string) string {
	kind, name, _ := strings.Cut(subject, ":")
	switch kind {
	case access.KindUser:
		return g.tenantOf(name)
	case access.KindKey:
		k, _ := g.cfg.State.Key(name)
		return k.GetTenant()
	}
	return ""
}
