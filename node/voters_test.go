package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
)

// raftOf is who votes and who stands by, as n's status tells.
func (n *testNode) raftOf() (voters, spares []string) {
	n.t.Helper()
	var s gateway.Status
	n.admin("GET", "/admin/v1/status", nil, &s)
	for _, r := range s.Nodes {
		switch {
		case r.Voter:
			voters = append(voters, r.ID)
		case r.Spare:
			spares = append(spares, r.ID)
		}
	}
	return voters, spares
}

// raftIs waits for n's status to tell of these.
func (n *testNode) raftIs(what string, voters, spares []string) {
	n.t.Helper()
	var v, s []string
	limit := time.Now().Add(30 * time.Second)
	for v, s = n.raftOf(); !slices.Equal(v, voters) || !slices.Equal(s, spares); v, s = n.raftOf() {
		if time.Now().After(limit) {
			n.t.Fatalf("%s: voters %v and spares %v, want %v and %v", what, v, s, voters, spares)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestFiveVoters: of seven nodes five vote, spread over the regions, and two stand
// by. Two that die cost nothing; once they are removed the spares vote.
func TestFiveVoters(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	all := []*testNode{n1}
	for i, region := range []string{"north", "north", "south", "west", "north", "south"} {
		all = append(all, n1.join(fmt.Sprint("n", i+2), region, "voter", "gateway"))
	}
	g := n1.join("g1", "north", "gateway")
	n1.voters(5)
	await(t, 30*time.Second, "two stand by, and no region has more than two voters", func() bool {
		voters, spares := n1.raftOf()
		inNorth := 0
		for _, id := range voters {
			if slices.Contains([]string{"n1", "n2", "n3", "n6"}, id) {
				inNorth++
			}
		}
		return len(voters) == 5 && len(spares) == 2 && inNorth == 2
	})
	voters, spares := n1.raftOf()
	g.raftIs("a gateway tells the same", voters, spares)

	dead := []*testNode{all[3], all[4]} // n4 and n5, of the south and the west
	stopAll(dead...)
	for _, n := range []*testNode{n1, all[1], all[6]} {
		await(t, 30*time.Second, n.cfg.Node.ID+" writes", func() bool { return n.tryWrite("by "+n.cfg.Node.ID) == nil })
	}
	if now, _ := n1.raftOf(); !slices.Equal(now, voters) {
		t.Errorf("the voters were %v, and are %v a moment after two have died", voters, now)
	}
	for _, n := range dead {
		n1.admin("DELETE", "/admin/v1/nodes/"+n.cfg.Node.ID, nil, nil)
	}
	n1.raftIs("the spares vote", []string{"n1", "n2", "n3", "n6", "n7"}, nil)
	if err := g.tryWrite("by the gateway"); err != nil {
		t.Error(err)
	}
}

// TestServersComeAndGo: a voter that is to vote no more becomes a spare or follows
// the feed, and the other way round, and has every write all the while.
func TestServersComeAndGo(t *testing.T) {
	severalNodes(t)
	n1 := found(t, "n1", "north")
	all := []*testNode{n1}
	for i := range 4 {
		all = append(all, n1.join(fmt.Sprint("n", i+2), "north", "voter", "gateway"))
	}
	everywhere := func(name string) {
		t.Helper()
		var made struct{ Key string }
		n1.admin("POST", "/admin/v1/keys", map[string]any{"name": name, "scopes": []string{"infer"}}, &made)
		for _, n := range all {
			await(t, 30*time.Second, name+": the key works on "+n.cfg.Node.ID, func() bool { return n.get("/v1/models", made.Key) == 200 })
		}
	}
	following := func() (count int) {
		for _, n := range all {
			if n.node.spareFeed.Load() != nil && !n.node.raft.InConfiguration() {
				count++
			}
		}
		return count
	}
	n1.voters(5)
	await(t, 30*time.Second, "nobody follows the feed", func() bool { return following() == 0 })
	everywhere("five vote")
	for round, most := range []int{1, 5, 1, 3} {
		n1.admin("PUT", "/admin/v1/settings/"+spec.SettingRaftVoters, map[string]any{"value": fmt.Sprint(most)}, nil)
		await(t, 30*time.Second, fmt.Sprint(most, " vote"), func() bool {
			voters, spares := n1.raftOf()
			return len(voters) == most && len(spares) == min(2, 5-most) && following() == 5-most-len(spares)
		})
		everywhere(fmt.Sprintf("round %d: at most %d", round, most))
	}
	err := client.New(n1.adminKey(), "http://"+n1.cfg.API.Listen).Do(t.Context(), "PUT", "/admin/v1/settings/"+spec.SettingRaftVoters, map[string]any{"value": "2"}, nil)
	if err == nil || !strings.Contains(err.Error(), "1, 3 or 5") {
		t.Errorf("two voters: %v", err)
	}
}
