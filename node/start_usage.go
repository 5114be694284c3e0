package node

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/usage"
)

// openLedger opens the ledger of what this node's gateway serves, and has the
// state told of it; also where nothing more is written to it, for what is there. It ends
// after the gateway, whose last requests are in it.
func (n *Node) openLedger() (gateway.UsageSink, error) {
	journal := int64(usage.JournalBytes)
	if n.config.API.Usage != "journal" {
		journal = 0
	}
	l, err := usage.Open(n.db, usage.Config{
		Journal: journal,
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
	if n.config.API.Usage == "off" {
		return nil, nil
	}
	return l, nil
}

// regionOf is the region of a node, as the state has it.
func (n *Node) regionOf(id spec.NodeID) string {
	if id == n.id {
		return n.config.Node.Region
	}
	r, _ := n.state.Node(string(id))
	return r.GetRegion()
}
