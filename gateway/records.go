package gateway

import (
	"github.com/lotabots/lotabots/cluster/wire"
)

// An AccessReader reads who may do what, page by page. A page has the records
// whose cursor comes after the one given, at most limit of them; next is empty
// where nothing follows.
type AccessReader interface {
	Tenant(id string) (*wire.Tenant, bool)
	TenantsPage(cursor string, limit int) ([]*wire.Tenant, string)
	KeysOf(owner, cursor string, limit int) ([]*wire.APIKey, string)
	LastUsed(key string) int64 // Unix ms; 0: not known to have been used
	User(id string) (*wire.User, bool)
	UserByName(name string) (*wire.User, bool)
	Users(tenant, cursor string, limit int) ([]*wire.User, string) // empty tenant: all
	Role(id string) (*wire.AccessRole, bool)
	Roles(cursor string, limit int) ([]*wire.AccessRole, string)
	RolesOf(tenant, cursor string, limit int) ([]*wire.AccessRole, string)
	Binding(id string) (*wire.Binding, bool)
	Bindings(cursor string, limit int) ([]*wire.Binding, string)
	BindingsOf(subject, cursor string, limit int) ([]*wire.Binding, string)
	BindingsIn(tenant, cursor string, limit int) ([]*wire.Binding, string)
	Session(id string) (*wire.Session, bool)
	Sessions(cursor string, limit int) ([]*wire.Session, string)
	SessionsOf(user, cursor string, limit int) ([]*wire.Session, string)
	Secret(name string) (*wire.Secret, bool)
	Setting(name string) (string, bool)

	DeploymentsPage(tenant, cursor string, limit int) ([]*wire.Deployment, string) // empty tenant: all
	DeploymentsOf(tenant, cursor string, limit int) ([]*wire.Deployment, string)   // empty tenant: those that no tenant owns
	PlacementsPage(cursor string, limit int) ([]*wire.Placement, string)
	ModelsPage(cursor string, limit int) ([]*wire.Model, string)
	Token(id string) (*wire.JoinToken, bool)
	TokensPage(cursor string, limit int) ([]*wire.JoinToken, string)
	SettingsPage(cursor string, limit int) ([]Setting, string)

	Audit(f AuditFilter, cursor string, limit int) ([]*wire.AuditEntry, string)
	AuditHead() (seq uint64, hash []byte)

	// Usage calls each with the sums of usage that fit until it returns false.
	Usage(q UsageQuery, each func(*wire.UsageRow) bool) UsageSpan
	UsageLedgers() []*wire.UsageLedger
}

// A UsageQuery says which sums of usage are wanted: those for which every field
// that is set fits.
type UsageQuery struct {
	Tenant, User, Key, Deployment, Adapter, Endpoint, Region, Outcome string
	Version                                                           uint64 // of a deployment

	FromMS, ToMS int64  // of the requests' ends, from FromMS on, before ToMS
	Coarsest     uint32 // no sum is of a longer period, in seconds, where finer ones are kept
}

// A UsageSpan is the time that sums are of.
type UsageSpan struct {
	FromMS, ToMS int64
	WholeMS      int64 // nothing that ended at it or later was dropped
}

// An AuditFilter says which entries of the audit log are wanted: those for which
// every field that is set fits.
type AuditFilter struct {
	Actor, Target, Tenant string
	FromMS, ToMS          int64 // from FromMS on, before ToMS; 0: no bound
	Newest                bool  // newest first
}
