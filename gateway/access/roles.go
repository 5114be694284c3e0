package access

import "strings"

// A Role is a named set of permissions.
type Role struct {
	ID          string
	Text        string
	Permissions []Permission
}

// Names of the built-in roles, strongest first. They are in no record and cannot be changed.
const (
	Owner     = "owner"
	Admin     = "admin"
	Operator  = "operator"
	Developer = "developer"
	Viewer    = "viewer"
	Auditor   = "auditor"
)

// Roles is the built-in roles. What a verb of the whole cluster does in one of
// them counts only where the role is bound in the whole cluster.
var Roles = []Role{
	{Owner, "everything, and giving the role owner to others", all("*")},
	{Admin, "everything but giving and taking the role owner",
		all("infer", "models.*", "deployments.*", "engines.*", "nodes.*", "cluster.*", "tokens.*", "settings.*", "tenants.*", "keys.*",
			"users.*", "roles.*", "sessions.*", "audit.*", "metrics.*", "topology.*", "usage.*")},
	{Operator, "models, deployments and nodes; no keys, users or roles, and nothing by which more could be had (join tokens, settings, backups)",
		all("models.*", "deployments.*", "engines.*", "nodes.*", "cluster.read", "cluster.drain", "cluster.lead", "cluster.reload", "settings.read", "tenants.read", "metrics.read", "topology.read")},
	{Developer, "use models, see deployments, have keys of one's own",
		all("infer", "models.read", "deployments.read", "keys.own")},
	{Viewer, "see everything but the audit log", reads},
	{Auditor, "see everything, the audit log too", append(all("audit.read"), reads...)},
}

// reads is every verb that only looks, but for the audit log.
var reads = all("models.list", "models.read", "deployments.read", "nodes.read", "cluster.read", "tokens.read", "settings.read",
	"tenants.read", "keys.read", "users.read", "roles.read", "sessions.read", "metrics.read", "topology.read", "usage.read")

func all(verbs ...string) []Permission {
	out := make([]Permission, len(verbs))
	for i, v := range verbs {
		out[i].Verb = v
	}
	return out
}

// RoleOf returns the built-in role of that name.
func RoleOf(id string) (Role, bool) {
	for _, r := range Roles {
		if r.ID == id {
			return r, true
		}
	}
	return Role{}, false
}

// rolesWith names the built-in roles that have the verb.
func rolesWith(place int) string {
	var names []string
	for _, r := range Roles {
		var s set
		for _, p := range r.Permissions {
			s |= verbsOf(p.Verb)
		}
		if s&(1<<place) != 0 {
			names = append(names, r.ID)
		}
	}
	return strings.Join(names, ", ")
}
