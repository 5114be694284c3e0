package gateway

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A roleView is a role; permissions are in the form "verb" or "verb on resource".
type roleView struct {
	ID          string   `json:"id"`
	Tenant      string   `json:"tenant"`
	Description string   `json:"description"`
	Permissions []string `json:"permissions"`
	BuiltIn     bool     `json:"built_in"`
	Version     uint64   `json:"version"`
	CreatedMS   int64    `json:"created_ms"`
	ChangedMS   int64    `json:"changed_ms"`
}

func viewRole(a *wire.AccessRole) roleView {
	_, builtIn := access.RoleOf(a.GetId())
	return roleView{ID: a.GetId(), Tenant: a.GetTenant(), Description: a.GetDescription(), Permissions: texts(auth.Permissions(a)), BuiltIn: builtIn,
		Version: a.GetVersion(), CreatedMS: a.GetCreatedMs(), ChangedMS: a.GetChangedMs()}
}

func texts(permissions []access.Permission) []string {
	out := make([]string, 0, len(permissions))
	for _, p := range permissions {
		out = append(out, p.String())
	}
	return out
}

// builtIn is the built-in roles in the form of records, by id.
var builtIn = func() []*wire.AccessRole {
	var out []*wire.AccessRole
	for _, b := range access.Roles {
		a := &wire.AccessRole{Id: b.ID, Description: b.Text}
		for _, p := range b.Permissions {
			a.Permissions = append(a.Permissions, &wire.Permission{Verb: p.Verb, Resource: p.Resource})
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *wire.AccessRole) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out
}()

// role returns the role of that id, built-in or not.
func (g *Gateway) role(id string) (*wire.AccessRole, bool) {
	for _, b := range builtIn {
		if b.GetId() == id {
			return b, true
		}
	}
	return g.cfg.State.Role(id)
}

// listRoles lists the roles of one's tenants, and the built-in ones.
func listRoles(r *request) error {
	read := r.g.cfg.State
	from := []walk[*wire.AccessRole]{among(builtIn, (*wire.AccessRole).GetId)}
	if everywhere, tenants := r.who.Where(access.RolesRead); everywhere {
		from = append(from, read.Roles)
	} else {
		for _, t := range tenants {
			from = append(from, func(cursor string, limit int) ([]*wire.AccessRole, string) { return read.RolesOf(t, cursor, limit) })
		}
	}
	return onePage(r, listing[*wire.AccessRole, roleView]{id: (*wire.AccessRole).GetId, show: viewRole, sees: func(a *wire.AccessRole) bool {
		_, builtIn := access.RoleOf(a.GetId())
		return builtIn || r.who.May(access.RolesRead, roleResource(a))
	}}, from)
}

func roleResource(a *wire.AccessRole) access.Resource {
	return access.Resource{Kind: access.KindRole, Name: a.GetId(), Tenant: a.GetTenant()}
}

const (
	maxPermissions = 200
	roleRule       = "must be NAME, or TENANT/NAME for a tenant's own: each of letters, digits, '.', '_', ':' and '-', beginning with a letter or digit, and no built-in role's name"
)

// roleForm checks the id of a role.
func roleForm(id string) bool {
	tenant, name, owned := strings.Cut(id, "/")
	if !owned {
		_, builtIn := access.RoleOf(id)
		return nameForm.MatchString(id) && !builtIn
	}
	return nameForm.MatchString(tenant) && len(tenant) <= maxTenantID && nameForm.MatchString(name)
}

func putRole(r *request) error {
	var ask struct {
		Description string   `json:"description"`
		Permissions []string `json:"permissions"`
		Version     *uint64  `json:"version"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	id := r.param("id")
	a := &wire.AccessRole{Id: id, Tenant: tenantOfRole(id), Description: ask.Description}
	f.check(roleForm(id), "id", roleRule)
	f.check(len(ask.Description) <= maxLabel, "description", "must have at most 256 bytes")
	f.check(len(ask.Permissions) > 0 && len(ask.Permissions) <= maxPermissions, "permissions", "must have 1 to 200 entries")
	for i, text := range ask.Permissions {
		p, err := access.ParsePermission(text)
		if err != nil {
			f.add("permissions["+strconv.Itoa(i)+"]", "is no permission: "+err.Error())
			continue
		}
		a.Permissions = append(a.Permissions, &wire.Permission{Verb: p.Verb, Resource: p.Resource})
	}
	if err := f.err(); err != nil {
		return err
	}
	if err := r.unconfined("write roles"); err != nil {
		return err
	}
	old, known := r.g.cfg.State.Role(id)
	for _, part := range []*wire.AccessRole{a, old} {
		if err := r.covered(roleGrants(part, part.GetTenant()), "write a role that has it"); err != nil {
			return err
		}
	}
	a.CreatedMs, a.ChangedMs = time.Now().UnixMilli(), time.Now().UnixMilli()
	if known {
		a.CreatedMs = old.GetCreatedMs()
	}
	version := old.GetVersion()
	change(&version, ask.Version)
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutRole{PutRole: &wire.PutRole{Role: a, ExpectVersion: version}}})
	if err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Role(id); ok && now.GetVersion() >= res.GetVersion() {
		a = now
	} else {
		a.Version = res.GetVersion()
	}
	told := r.revoked(id, "", res) // those who had more by it, on nodes that do not know yet
	return r.json(200, struct {
		roleView
		Lagging []string  `json:"lagging"`
		Closing []closing `json:"closing"`
	}{viewRole(a), told.Lagging, told.Closing})
}

// roleGrants is the role as a binding in that tenant gives it.
func roleGrants(a *wire.AccessRole, tenant string) access.Grants {
	return access.NewGrants(access.Grant{Role: a.GetId(), Tenant: tenant, Permissions: auth.Permissions(a)})
}

func removeRole(r *request) error {
	id := r.param("id")
	if _, fixed := access.RoleOf(id); fixed {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "id", Message: "The role " + id + " is built in.", Hint: "Remove the bindings that give it."}
	}
	old, _ := r.g.cfg.State.Role(id)
	if err := r.covered(roleGrants(old, old.GetTenant()), "remove a role that has it"); err != nil {
		return err
	}
	return r.revoke(id, "", &wire.Command{Body: &wire.Command_RemoveRole{RemoveRole: &wire.RemoveRole{Id: id}}})
}
