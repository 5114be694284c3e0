package consensus

import (
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const gone = wire.NodeState_NODE_STATE_REMOVED

// TestARemovedNodeVotesNoMore by the time its record says so: from then on nobody
// talks to it, and removals may follow each other at once.
func TestARemovedNodeVotesNoMore(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3", "n4")
	for _, id := range []string{"n2", "n3"} {
		c.must(c.servers["n1"], setState(id, gone))
		leader := c.leader("n1", "n4")
		if slices.Contains(leader.Voters(), spec.NodeID(id)) {
			t.Errorf("%s still votes: %v", id, leader.Voters())
		}
		c.kill(id)
		c.must(c.servers["n4"], set("after", id))
	}
}

// TestTheLastVoterStays, and so does one that the others cannot do without.
func TestTheLastVoterStays(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	left := c.others(c.leader("n1", "n2", "n3"), "n1", "n2", "n3")
	c.kill(left[0].id)
	for _, id := range []string{left[1].id, c.leader("n1", "n2", "n3").id} {
		_, err := left[1].Propose(within(30*time.Second), setState(id, gone))
		if spec.CodeOf(err) != spec.CodeConflict {
			t.Errorf("removing %s where another is dead: %v", id, err)
		}
	}
	c.must(left[1], set("still", "writable"))
	c.must(left[1], setState(left[0].id, gone)) // the dead one may go
	c.must(left[1], set("and", "on"))

	two := grow(t, "n1", "n2")
	two.must(two.servers["n2"], setState("n1", gone)) // whose vote the other gets
	two.kill("n1")
	two.must(two.servers["n2"], set("still", "writable"))

	one := grow(t, "n1")
	if _, err := one.servers["n1"].Propose(within(30*time.Second), setState("n1", gone)); spec.CodeOf(err) != spec.CodeConflict {
		t.Errorf("removing the only one: %v", err)
	}
	one.must(one.servers["n1"], set("still", "writable"))
}

// TestTheLevelDoesNotFall: one of an older build that comes later holds nobody back.
func TestTheLevelDoesNotFall(t *testing.T) {
	t.Parallel()
	c := growWith(t, func(string) func(*Config) { return func(c *Config) { c.Needs = func() uint64 { return 2 } } }, "n1")
	cmd := set("a", "b")
	c.must(c.servers["n1"], cmd)
	if cmd.GetLevel() != 2 {
		t.Errorf("a command is applied at level %d", cmd.GetLevel())
	}
	session := &wire.Command{Body: &wire.Command_RevokeSession{RevokeSession: &wire.RevokeSession{Id: "x"}}}
	if _, err := stamp(session); err != nil || c.servers["n1"].tooNew(session) != nil {
		t.Errorf("a command of level 2: %v, %v", err, c.servers["n1"].tooNew(session))
	}
}

// TestAnHeirIsWaitedFor where it lives and lacks but the end of the log.
func TestAnHeirIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		group *model
		heir  spec.NodeID
		soon  bool
	}{
		"it has the log":        {newModel(1, "xa", "xa").spare("b"), "b", false},
		"it has it in a moment": {newModel(1, "xa", "xa").spare("b").behind("b"), "", true},
		"it is dead":            {newModel(1, "xa", "xa").spare("b").lose("b", false), "", false},
		"it leaves":             {newModel(1, "xa", "xa").spare("b").set("b", gone).behind("b"), "", false},
		"there is none":         {newModel(1, "xa"), "", false},
		"another votes as well": {newModel(2, "xa", "xa", "xa").spare("c").behind("c"), "", false},
		"of two, one has it":    {newModel(1, "xa", "xa", "xa").spare("b").spare("c").behind("b"), "c", false},
	} {
		if heir, soon := c.group.heir("a"); heir != c.heir || soon != c.soon {
			t.Errorf("%s: %q, %v", name, heir, soon)
		}
	}
}
