package gateway

import (
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// Bounds of what tenants hold.
const (
	maxTenantID = 100 // bytes
	maxLabel    = 256 // bytes of a tenant's name
	maxAuthAge  = 365 * 24 * 3600
)

type tenantView struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	AuthMaxAge int64  `json:"auth_max_age_seconds"`
	CreatedMS  int64  `json:"created_ms"`
}

func viewTenant(t *wire.Tenant) tenantView {
	return tenantView{ID: t.GetId(), Name: t.GetName(), AuthMaxAge: t.GetAuthMaxAgeS(), CreatedMS: t.GetCreatedMs()}
}

func listTenants(r *request) error {
	read := r.g.cfg.State
	from := walk[*wire.Tenant](read.TenantsPage)
	if everywhere, tenants := r.who.Where(access.TenantsRead); !everywhere {
		var mine []*wire.Tenant
		for _, id := range tenants {
			if t, ok := read.Tenant(id); ok {
				mine = append(mine, t)
			}
		}
		from = among(mine, (*wire.Tenant).GetId)
	}
	return onePage(r, listing[*wire.Tenant, tenantView]{id: (*wire.Tenant).GetId, show: viewTenant, sees: func(t *wire.Tenant) bool {
		return r.who.May(access.TenantsRead, access.In(t.GetId()))
	}}, []walk[*wire.Tenant]{from})
}

func putTenant(r *request) error {
	var ask struct {
		Name       string `json:"name"`
		AuthMaxAge int64  `json:"auth_max_age_seconds"`
	}
	id := r.param("name")
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(nameForm.MatchString(id) && len(id) <= maxTenantID, "name", "must be 1 to 100 of letters, digits, '.', '_', ':' and '-', beginning with a letter or digit")
	f.check(len(ask.Name) <= maxLabel, "name", "must have at most 256 bytes")
	f.check(ask.AuthMaxAge <= maxAuthAge, "auth_max_age_seconds", "must be at most 31536000, which is a year")
	if err := f.err(); err != nil {
		return err
	}
	t := &wire.Tenant{Id: id, Name: ask.Name, AuthMaxAgeS: ask.AuthMaxAge}
	if _, err := r.propose(&wire.Command{Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: t}}}); err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Tenant(id); ok {
		t.CreatedMs = now.GetCreatedMs()
	}
	return r.json(200, viewTenant(t))
}

// removeTenant removes a tenant that owns nothing any more.
func removeTenant(r *request) error {
	id := r.param("name")
	_, err := r.propose(&wire.Command{Body: &wire.Command_RemoveTenant{RemoveTenant: &wire.RemoveTenant{Id: id}}})
	return r.removed(id, err)
}
