package node

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// membership is what a node keeps of the cluster that it belongs to, beside its
// certificate. The gossip key is secret: the file has mode 0600.
type membership struct {
	Cluster   string `json:"cluster"`
	GossipKey []byte `json:"gossip_key"` // 32 bytes
	Peers     []peer `json:"peers"`      // who was a member when it joined
}

type peer struct {
	ID      string `json:"id"`
	Address string `json:"address"` // of the cluster port
	Voter   bool   `json:"voter"`
}

func (l layout) saveMembership(m membership) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return whole.Write(l.membership(), raw)
}

func (l layout) loadMembership() (membership, error) {
	var m membership
	raw, err := os.ReadFile(l.membership())
	if err != nil {
		return m, fmt.Errorf("%w: this is not the data directory of a member; make a cluster with lotabots init, or join one with lotabots join", err)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%s: %w", l.membership(), err)
	}
	if len(m.GossipKey) != 32 || m.Cluster == "" {
		return m, fmt.Errorf("%s is damaged: want a cluster's id and a gossip key of 32 bytes; restore it from a backup, or join again", l.membership())
	}
	return m, nil
}
