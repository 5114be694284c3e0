package gateway

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Proposer writes to the cluster's state. A command that was applied and
// refused answers with a Result that has a code; an error means that it is not
// known to be applied, and is a *spec.Error where it can be.
type Proposer interface {
	Propose(ctx context.Context, c *wire.Command) (*wire.Result, error)
}

// A StateReader reads this node's copy of the state. What it returns is not
// changed by either side.
type StateReader interface {
	AccessReader
	Index() uint64
	Age() time.Duration // since this copy was last known to be the newest; 0 on a leader
	Node(id string) (*wire.Node, bool)
	Key(id string) (*wire.APIKey, bool)
	Keys(tenant, cursor string, limit int) (page []*wire.APIKey, next string) // empty tenant: all
	Deployment(name string) (*wire.Deployment, bool)
	Model(name string) (*wire.Model, bool)
}

// A Barrier makes a read of this node's copy of the state linearizable.
type Barrier interface {
	// Barrier returns when this node's copy has every write that was answered,
	// anywhere, before it was called.
	Barrier(ctx context.Context) error
}

// A Kind is a kind of record that the gateway follows.
type Kind uint8

// The kinds.
const (
	KindOther Kind = iota
	KindTenant
	KindKey
	KindDeployment
	KindPlacement
	KindUser
	KindRole
	KindBinding
	KindSession
	KindSecret
	KindSetting
)

// A Change tells what one applied entry changed. Reset: read everything anew.
type Change struct {
	Index   uint64
	Reset   bool
	Records []Ref
}

// A Ref names one record.
type Ref struct {
	Kind Kind
	ID   string
}

// A Quota leases shares of limits from their owners.
type Quota interface {
	Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error)
}

// Tokens makes join tokens.
type Tokens interface {
	// Create returns the token's text, which is kept nowhere.
	Create(ctx context.Context, role spec.Role, ttl time.Duration, uses int) (string, *wire.JoinToken, error)
}

// A Cluster is the operations on nodes.
type Cluster interface {
	Self() spec.NodeID
	Status(ctx context.Context) (*Status, error)
	Drain(ctx context.Context, node spec.NodeID) error
	Resume(ctx context.Context, node spec.NodeID) error
	TransferLeadership(ctx context.Context) error
	// Plan tells what would become of d; m is its model where that is not imported.
	Plan(ctx context.Context, d *wire.Deployment, m *wire.Model) (*Plan, error)
	Reload(ctx context.Context, node spec.NodeID) (*Reloaded, error) // of its configuration
	// Caches tells what all devices keep of answers, and which nodes have not told.
	Caches(ctx context.Context) ([]CacheStat, []spec.NodeID)
}
