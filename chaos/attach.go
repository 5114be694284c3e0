package chaos

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/node/dev"
)

// attach takes a cluster that is not the harness's own. The owner of each
// machine must have agreed, in the node's own file: an API key is no consent.
func attach(c Config) (*cluster, error) {
	f, err := dev.Load(c.Attach)
	if err != nil {
		return nil, err
	}
	for _, n := range f.Nodes {
		if err := consents(n.Data); err != nil {
			return nil, fmt.Errorf("node %s: %w", n.ID, err)
		}
	}
	k := &cluster{dir: c.Attach, binary: c.Binary}
	k.use(f)
	return k, nil
}

// consents reads the node's local file alone: neither flags nor environment count.
func consents(data string) error {
	path := filepath.Join(data, "node.yaml")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("no configuration to find consent to faults in: %w", err)
	}
	c, err := config.Load(config.Sources{File: path})
	if err != nil {
		return err
	}
	if !c.Chaos.Allow {
		return fmt.Errorf("%s does not allow faults: set chaos.allow: true there, if this node may be broken", path)
	}
	return nil
}
