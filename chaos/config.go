package chaos

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Config is what a run should be.
type Config struct {
	Seed     int64
	Duration time.Duration // of the load; default 60 s
	Faults   []Kind        // default: kill, stop, and cut where links can be cut
	Nodes    int           // default 3
	Regions  []string      // default north, south
	Data     string        // directory of the cluster; kept. Empty: a fresh one, removed unless something was violated
	Attach   string        // directory of a dev cluster that runs already; its nodes must allow faults
	Binary   string        // the lotabots executable
	Engine   string        // preset of the real model beside the mock: embedded (default), or none
	Env      []string      // added to the environment of the cluster's processes
	Report   string        // directory for the report, which is made; empty: none is written
	Limits   Limits
	Patience int       // how many times Limits count, on a machine that has other things to do; default 1
	Out      io.Writer // progress; nil: none
}

// Limits are the promises in figures.
type Limits struct {
	Writable time.Duration // after a kill, until a write succeeds; default 3 s
	Revoked  time.Duration // after an acknowledged revocation, until every node refuses the key; default 1 s
	Settle   time.Duration // after a fault ended, until the node counts as whole again; default 15 s
}

func (c Config) withDefaults() (Config, error) {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.Duration, time.Minute)
	set(&c.Limits.Writable, 3*time.Second)
	set(&c.Limits.Revoked, time.Second)
	set(&c.Limits.Settle, 15*time.Second)
	c.Patience = max(c.Patience, 1)
	for _, d := range []*time.Duration{&c.Limits.Writable, &c.Limits.Revoked, &c.Limits.Settle} {
		*d *= time.Duration(c.Patience)
	}
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	if len(c.Regions) == 0 {
		c.Regions = []string{"north", "south"}
	}
	if c.Engine == "" {
		c.Engine = "embedded"
	}
	if len(c.Faults) == 0 {
		c.Faults = []Kind{Kill, Stop}
		if c.Attach == "" && c.Nodes > 2 {
			c.Faults = append(c.Faults, Cut)
		}
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	for _, k := range c.Faults {
		if !slices.Contains(Kinds, k) {
			return c, fmt.Errorf("no fault %q: there are %v", k, Kinds)
		}
	}
	switch {
	case c.Binary == "":
		return c, errors.New("the lotabots executable is not named")
	case c.Duration < 5*time.Second || c.Duration > time.Hour:
		return c, fmt.Errorf("duration %v: want 5s to 1h", c.Duration)
	case c.Nodes < 1 || c.Nodes > 9:
		return c, fmt.Errorf("%d nodes: want 1 to 9", c.Nodes)
	case c.Attach != "" && c.Data != "":
		return c, errors.New("either a directory for a cluster of its own, or one to attach to")
	case slices.Contains(c.Faults, Cut) && c.Attach != "":
		return c, errors.New("links can only be cut in a cluster of the harness's own: its nodes speak through relays, and those of a cluster that runs already do not; leave out the fault \"cut\"")
	case slices.Contains(c.Faults, Cut) && c.Nodes < 3:
		return c, fmt.Errorf("a cluster of %d nodes cannot spare one to cut off: want 3 or more for the fault \"cut\"", c.Nodes)
	}
	return c, nil
}
