package spec

import "slices"

// BuiltInRoles are the ids of the roles that are in no record. The state machine
// tells by them which roles may be bound: one more needs a new feature level.
var BuiltInRoles = []string{"owner", "admin", "operator", "developer", "viewer", "auditor"}

// BuiltInRole tells whether a role of that id is built in.
func BuiltInRole(id string) bool { return slices.Contains(BuiltInRoles, id) }

// SettingAuditKeep is how many days the audit log keeps an entry; 0 or unset: as
// long as there is room among the newest ones.
const SettingAuditKeep = "audit/keep-days"
