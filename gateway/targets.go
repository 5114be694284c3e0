package gateway

import (
	"strings"

	"github.com/lotabots/lotabots/gateway/access"
)

// What the operations are done to: each looks up the thing that the path names.
// A thing that is not known is taken for nobody's, so that whoever may do this in
// the whole cluster goes on and is answered by the state itself.

func whole(*request) target { return target{Resource: access.Cluster, known: true, plain: true} }

func theNode(r *request) target {
	id := r.param("id")
	_, ok := r.g.cfg.State.Node(id)
	return target{Resource: access.Resource{Kind: access.KindNode, Name: id}, known: ok}
}

func theSetting(r *request) target {
	name := r.param("name")
	return target{Resource: access.Resource{Kind: access.KindSetting, Name: name}, known: true}
}

func theToken(r *request) target {
	id := r.param("id")
	_, ok := r.g.cfg.State.Token(id)
	return target{Resource: access.Resource{Kind: access.KindToken, Name: id}, known: ok}
}

func theModel(r *request) target {
	name := r.param("name")
	_, ok := r.g.cfg.State.Model(name)
	return target{Resource: access.Resource{Kind: access.KindModel, Name: name}, known: ok}
}

func theDeployment(r *request) target { return r.deploymentTarget(r.param("name")) }

func (r *request) deploymentTarget(name string) target {
	d, ok := r.g.cfg.State.Deployment(name)
	return target{Resource: access.Resource{Kind: access.KindDeployment, Name: name, Tenant: d.GetTenant()}, known: ok}
}

func theTenant(r *request) target {
	id := r.param("name")
	_, ok := r.g.cfg.State.Tenant(id)
	return target{Resource: access.In(id), known: ok}
}

func theKey(r *request) target {
	id := r.param("id")
	k, ok := r.g.cfg.State.Key(id)
	return target{Resource: access.Resource{Kind: access.KindKey, Name: id, Tenant: k.GetTenant()}, known: ok, owner: k.GetOwner()}
}

func theUser(r *request) target { return r.userTarget(r.param("id")) }

func (r *request) userTarget(id string) target {
	u, ok := r.g.cfg.State.User(id)
	return target{Resource: access.Resource{Kind: access.KindUser, Name: id, Tenant: u.GetTenant()}, known: ok, owner: u.GetId()}
}

// A session is in its user's tenant.
func theSession(r *request) target {
	id := r.param("id")
	s, ok := r.g.cfg.State.Session(id)
	u, _ := r.g.cfg.State.User(s.GetUser())
	return target{Resource: access.Resource{Kind: access.KindSession, Name: id, Tenant: u.GetTenant()}, known: ok, owner: s.GetUser()}
}

// theRole goes by the id alone, which begins with the tenant that owns the role.
func theRole(r *request) target {
	id := r.param("id")
	_, ok := r.g.cfg.State.Role(id)
	return target{Resource: access.Resource{Kind: access.KindRole, Name: id, Tenant: tenantOfRole(id)}, known: ok, plain: true}
}

func tenantOfRole(id string) string {
	if tenant, _, owned := strings.Cut(id, "/"); owned {
		return tenant
	}
	return ""
}

func theBinding(r *request) target {
	id := r.param("id")
	b, ok := r.g.cfg.State.Binding(id)
	return target{Resource: access.Resource{Kind: access.KindBinding, Name: id, Tenant: b.GetTenant()}, known: ok}
}
