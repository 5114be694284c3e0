package gateway

import (
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
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
	limitsForm
}

func viewTenant(t *wire.Tenant) tenantView {
	return tenantView{ID: t.GetId(), Name: t.GetName(), AuthMaxAge: shownAge(t.GetAuthMaxAgeS()), CreatedMS: t.GetCreatedMs(), limitsForm: limitsOf(t.GetLimits())}
}

// The record cannot tell 0 from unset: there 0 is the default, and a negative
// number is strict. Here 0 is strict.

func shownAge(kept int64) int64 {
	if kept == 0 {
		return int64(auth.DefaultMaxAge / time.Second)
	}
	return max(0, kept)
}

func keptAge(asked int64) int64 {
	if asked == 0 {
		return -1
	}
	return asked
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
		AuthMaxAge *int64 `json:"auth_max_age_seconds"` // nil: as it is
		limitsChange
	}
	id := r.param("name")
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(nameForm.MatchString(id) && len(id) <= maxTenantID, "name", "must be 1 to 100 of letters, digits, '.', '_', ':' and '-', beginning with a letter or digit")
	f.check(len(ask.Name) <= maxLabel, "name", "must have at most 256 bytes")
	f.check(ask.AuthMaxAge == nil || *ask.AuthMaxAge >= 0 && *ask.AuthMaxAge <= maxAuthAge, "auth_max_age_seconds", "must be a number from 0, which is strict, to 31536000, which is a year")
	ask.check(f)
	if err := f.err(); err != nil {
		return err
	}
	old, err := r.newestTenant(id, ask.AuthMaxAge == nil || !ask.whole())
	if err != nil {
		return err
	}
	t := &wire.Tenant{Id: id, Name: ask.Name, AuthMaxAgeS: old.GetAuthMaxAgeS(), Limits: ask.apply(limitsOf(old.GetLimits()))}
	if ask.AuthMaxAge != nil {
		t.AuthMaxAgeS = keptAge(*ask.AuthMaxAge)
	}
	if _, err := r.propose(&wire.Command{Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: t}}}); err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Tenant(id); ok {
		t.CreatedMs = now.GetCreatedMs()
	}
	return r.json(200, viewTenant(t))
}

// newestTenant is the tenant as the newest state has it, where something of it is to
// stay as it is: an old copy must not make a strict tenant a lax one.
func (r *request) newestTenant(id string, stays bool) (*wire.Tenant, error) {
	if stays && r.g.cfg.Barrier != nil {
		if _, err := r.barrier(); err != nil {
			return nil, err
		}
	}
	now, _ := r.g.cfg.State.Tenant(id)
	return now, nil
}

// removeTenant removes a tenant that owns nothing any more.
func removeTenant(r *request) error {
	id := r.param("name")
	_, err := r.propose(&wire.Command{Body: &wire.Command_RemoveTenant{RemoveTenant: &wire.RemoveTenant{Id: id}}})
	return r.removed(id, err)
}
