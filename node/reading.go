package node

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/state"
)

// reading is the state as the gateway reads it.
type reading struct {
	*state.Store
	age func() time.Duration
}

// A readIndexer asks the leader for an index that all answered writes are below.
type readIndexer interface {
	ReadIndex(ctx context.Context) (uint64, error)
}

// group tells who the Raft servers are.
type group interface {
	Members(ctx context.Context) consensus.Members
}

// Barrier implements gateway.Barrier: the leader tells which index to wait for.
func (n *Node) Barrier(ctx context.Context) error {
	index, err := n.reads.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return n.reaches(ctx, index)
}

// reaches returns when this node's copy of the state is at the index or past it.
func (n *Node) reaches(ctx context.Context, index uint64) error {
	for {
		changed := n.state.Changed()
		if n.state.Index() >= index {
			return nil
		}
		select {
		case <-ctx.Done():
			return spec.Errorf(spec.CodeStaleState, "This node's copy of the state is at index %d, and the newest is %d.", n.state.Index(), index)
		case <-changed:
		}
	}
}

// SettingsPage implements gateway.AccessReader.
func (r reading) SettingsPage(cursor string, limit int) ([]gateway.Setting, string) {
	all, next := r.Store.SettingsPage(cursor, limit)
	out := make([]gateway.Setting, len(all))
	for i, s := range all {
		out[i] = gateway.Setting(s)
	}
	return out, next
}

// Audit implements gateway.AccessReader.
func (r reading) Audit(f gateway.AuditFilter, cursor string, limit int) ([]*wire.AuditEntry, string) {
	return r.Store.Audit(state.AuditFilter(f), cursor, limit)
}

// Usage implements gateway.AccessReader.
func (r reading) Usage(q gateway.UsageQuery, each func(*wire.UsageRow) bool) gateway.UsageSpan {
	return gateway.UsageSpan(r.Store.Usage(state.UsageQuery(q), each))
}

func (r reading) Age() time.Duration { return r.age() }

// subscribe passes changes of the state on in the gateway's words.
func (r reading) subscribe(fn func(gateway.Change)) (cancel func()) {
	return r.Subscribe(func(c state.Change) {
		out := gateway.Change{Index: c.Index, Reset: c.Reset, Records: make([]gateway.Ref, len(c.Records))}
		for i, ref := range c.Records {
			out.Records[i] = gateway.Ref{Kind: kinds[ref.Kind], ID: ref.ID}
		}
		fn(out)
	})
}

// kinds has gateway.KindOther for what the gateway does not follow.
var kinds = map[state.Kind]gateway.Kind{
	state.KindTenant:     gateway.KindTenant,
	state.KindKey:        gateway.KindKey,
	state.KindDeployment: gateway.KindDeployment,
	state.KindPlacement:  gateway.KindPlacement,
	state.KindUser:       gateway.KindUser,
	state.KindRole:       gateway.KindRole,
	state.KindBinding:    gateway.KindBinding,
	state.KindSession:    gateway.KindSession,
	state.KindSecret:     gateway.KindSecret,
	state.KindSetting:    gateway.KindSetting,
}
