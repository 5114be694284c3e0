package node

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/usage"
)

// openLedger opens the ledger of what this node's gateway serves, and has the
// state told of it; also where nothing more is written to it, for what is there. It ends
// after the gateway, whose last requests are in it.
func (n *Node) openLedger() (gateway.UsageSink, error) {
	l, err := usage.Open(n.db, usage.Config{
		Gateway: string(n.id), Propose: n.proposer.Propose, Gateways: n.gateways, Level: n.census.level,
		Keep: func() time.Duration {
			value, _ := n.state.Setting(spec.SettingUsageRecords)
			keep, _ := spec.UsageKept(spec.SettingUsageRecords, value)
			return keep
		},
		Registerer: n.metrics, Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	l.Start()
	n.ledger.Store(l)
	n.onStop("usage ledger", l.Shutdown)
	switch n.config.API.Usage {
	case "off":
		return nil, nil
	case "late":
		return lateLedger{l}, nil
	}
	return l, nil
}

// A lateLedger has nobody wait for the disk.
type lateLedger struct{ *usage.Ledger }

// Settle implements gateway.UsageSink.
func (l lateLedger) Settle(u *wire.UsageRecord) error {
	l.Note(u)
	return nil
}

// regionOf is the region of a node, as the state has it.
func (n *Node) regionOf(id spec.NodeID) string {
	if id == n.id {
		return n.config.Node.Region
	}
	r, _ := n.state.Node(string(id))
	return r.GetRegion()
}
