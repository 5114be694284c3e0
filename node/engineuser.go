package node

import (
	"errors"
	"fmt"
	"os"

	"github.com/lotabots/lotabots/actors/engine/account"
)

// engineUser is whom engines run as; nil: whoever runs the node. It lets that user's group pass to the
// engines' rooms and to the models, which is all of the data directory that it can reach.
func (n *Node) engineUser() (*account.Account, error) {
	name := n.config.Engines.User
	if name == "" {
		if os.Geteuid() == 0 {
			n.log.Info("engines run as root, as the node does: engines.user names another user")
		}
		return nil, nil
	}
	user, err := account.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("engines.user: %w", err)
	}
	if err := account.May(); err != nil {
		n.log.Warn("engines run as the node's own user: it may not start them as another", "engines.user", name, "reason", err)
		return nil, nil
	}
	if err := errors.Join(user.Open(n.layout.dir), user.Open(n.layout.engines()), n.blobs.Share(int(user.GID))); err != nil {
		return nil, fmt.Errorf("engines.user: %w", err)
	}
	if err := user.Shut(n.layout.engines()); err != nil {
		n.log.Warn("engines will find neither their directories nor the models", "engines.user", name, "reason", err)
	}
	return user, nil
}
