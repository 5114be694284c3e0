package gateway

import (
	"github.com/lotabots/lotabots/cluster/wire"
)

// Bounds of what tenants and settings hold.
const (
	maxTenantID = 100  // bytes
	maxLabel    = 256  // bytes of a tenant's name
	maxValue    = 4096 // bytes of a setting
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
	return list(r, r.g.cfg.State.Tenants(), (*wire.Tenant).GetId, viewTenant)
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
	for _, now := range r.g.cfg.State.Tenants() {
		if now.GetId() == id {
			t.CreatedMs = now.GetCreatedMs()
		}
	}
	return r.json(200, viewTenant(t))
}

// A Setting is a value that the whole cluster has.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// listSettings leaves out the cluster's own, whose names are not of the form
// that this API writes.
func listSettings(r *request) error {
	var all []Setting
	for _, s := range r.g.cfg.State.Settings() {
		if nameForm.MatchString(s.Name) {
			all = append(all, s)
		}
	}
	return list(r, all, func(s Setting) string { return s.Name }, func(s Setting) Setting { return s })
}

func putSetting(r *request) error {
	var ask struct {
		Value *string `json:"value"`
	}
	name := r.param("name")
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(nameForm.MatchString(name), "name", nameRule)
	f.check(ask.Value != nil, "value", "is missing")
	f.check(ask.Value == nil || len(*ask.Value) <= maxValue, "value", "must have at most 4096 bytes")
	if err := f.err(); err != nil {
		return err
	}
	_, err = r.propose(&wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: *ask.Value}}})
	if err != nil {
		return err
	}
	return r.json(200, Setting{name, *ask.Value})
}
