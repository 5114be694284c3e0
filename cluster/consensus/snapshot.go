package consensus

import (
	"fmt"
)

// catchUpWithSnapshot restores the newest snapshot where the state machine is
// older than that: a crash may come after a leader's snapshot was stored and
// before it was restored, and Raft itself, which does not restore at its start
// here, would go on from the snapshot's index all the same.
func catchUpWithSnapshot(c Config) error {
	all, err := c.Snapshots.List()
	if err != nil {
		return fmt.Errorf("listing the snapshots: %w", err)
	}
	if len(all) == 0 || all[0].Index <= c.FSM.Index() {
		return nil
	}
	_, from, err := c.Snapshots.Open(all[0].ID)
	if err != nil {
		return fmt.Errorf("opening snapshot %s: %w", all[0].ID, err)
	}
	c.Log.Info("the state is older than the newest snapshot: restoring it", "index", c.FSM.Index(), "snapshot", all[0].ID)
	if err := c.FSM.Restore(from); err != nil { // closes from
		return fmt.Errorf("restoring snapshot %s: %w", all[0].ID, err)
	}
	return nil
}
