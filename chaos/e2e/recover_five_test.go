//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos"
	"github.com/lotabots/lotabots/node/client"
)

// A lostGroup is the cluster of TestThreeOfFiveLost.
type lostGroup struct {
	t    *testing.T
	key  string
	all  []*machine // n1 to n5
	kept []string   // keys whose writes were acknowledged, and are to stay
}

// TestThreeOfFiveLost kills three of five processes for good, by OPERATIONS.md's
// steps. The survivor with the newer entries is recovered with every acknowledged
// write that it had seen, and takes new ones; whoever was given up is refused, and
// three who were a quorum to each other while it was away end as soon as they reach
// it. With four that join the state is the same on all five.
func TestThreeOfFiveLost(t *testing.T) {
	g := foundFive(t)
	a, b, lost := g.all[0], g.all[1], g.all[2:]
	for i := range 20 {
		g.write(g.all[i%5], fmt.Sprint("before ", i))
	}
	b.kill()
	for i := range 5 { // so that the survivors differ
		g.write(lost[i%3], fmt.Sprint("without ", b.id, " ", i))
	}
	within(t, 30*time.Second, a.id+" has all", func() bool { return g.lacks(a) == "" })
	g.each(lost, (*machine).kill)
	g.cannotWrite(a) // and no longer leads, if it did
	b.start()
	within(t, 30*time.Second, b.id+" answers", func() bool { return b.get("/readyz") != 0 })
	g.cannotWrite(b)
	g.each([]*machine{a, b}, (*machine).kill)

	if newest, older := standing(a), standing(b); newest <= older {
		t.Fatalf("%s has entries up to %d, and %s, which was away, up to %d", a.id, newest, b.id, older)
	}
	if out := a.must(nil, "recover", "--data", a.dir); !strings.Contains(out, "removed: "+others(g.all, a)) {
		t.Errorf("recover says:\n%s", out)
	}
	a.run()
	g.write(a, "after the recovery")
	if missing := g.lacks(a); missing != "" {
		t.Errorf("acknowledged, and lost: %s", missing)
	}
	g.each(append([]*machine{b}, lost...), (*machine).refused)

	g.quorumOfTheDead(a, lost)
	g.rejoin(a, b)
	g.write(b, "after all")
	g.same()
}

// foundFive starts five voters.
func foundFive(t *testing.T) *lostGroup {
	g := &lostGroup{t: t}
	for i := range 5 {
		g.all = append(g.all, newMachine(t, fmt.Sprint("n", i+1)))
	}
	first := g.all[0]
	first.must(nil, append([]string{"init"}, first.flags()...)...)
	first.run()
	known, err := client.FromData(first.dir)
	if err != nil {
		t.Fatal(err)
	}
	g.key = known.Key
	for _, n := range g.all[1:] {
		g.join(first, n)
	}
	g.awaitVoters(first)
	return g
}

// join has n taken in by a member, as a voter.
func (g *lostGroup) join(by, n *machine) {
	g.t.Helper()
	var made struct{ Token string }
	if err := by.admin(g.key, "POST", "/admin/v1/tokens", map[string]any{"role": "voter"}, &made); err != nil {
		g.t.Fatal(err)
	}
	n.must([]string{"LOTABOTS_JOIN_TOKEN=" + made.Token}, append([]string{"join", by.port}, n.flags()...)...)
	n.run()
}

func (g *lostGroup) awaitVoters(by *machine) {
	g.t.Helper()
	within(g.t, 30*time.Second, "all five vote", func() bool {
		out, _ := by.command([]string{"LOTABOTS_API_KEY=" + g.key}, "status", "--data", by.dir)
		return strings.Count(out, "active, voter") == 4
	})
}

// each does it to all of them at once.
func (g *lostGroup) each(them []*machine, do func(*machine)) {
	var doing sync.WaitGroup
	for _, n := range them {
		doing.Go(func() { do(n) })
	}
	doing.Wait()
}

func (g *lostGroup) try(n *machine, name string) error {
	return n.admin(g.key, "POST", "/admin/v1/keys", map[string]any{"name": name, "scopes": []string{"infer"}}, nil)
}

func (g *lostGroup) cannotWrite(n *machine) {
	g.t.Helper()
	if err := g.try(n, "nobody agrees with "+n.id); err == nil {
		g.t.Errorf("two of five write on %s", n.id)
	}
}

// write must be acknowledged, and is to stay.
func (g *lostGroup) write(n *machine, name string) {
	g.t.Helper()
	if err := g.try(n, name); err != nil {
		g.t.Fatalf("%s on %s: %v", name, n.id, err)
	}
	g.kept = append(g.kept, name)
}

// lacks is the first key that was acknowledged and is not in n's copy; empty: none.
func (g *lostGroup) lacks(n *machine) string {
	var list struct {
		Keys []struct{ Name string } `json:"data"`
	}
	if err := n.admin(g.key, "GET", "/admin/v1/keys?limit=200", nil, &list); err != nil {
		return err.Error()
	}
	for _, name := range g.kept {
		if !slices.ContainsFunc(list.Keys, func(k struct{ Name string }) bool { return k.Name == name }) {
			return name
		}
	}
	return ""
}

// others are their ids, as recover lists them.
func others(all []*machine, but *machine) string {
	var ids []string
	for _, n := range all {
		if n != but {
			ids = append(ids, n.id)
		}
	}
	return strings.Join(ids, ", ")
}

var indexIn = regexp.MustCompile(`up to index (\d+)`)

// standing is the index that recover --dry-run tells.
func standing(m *machine) int {
	out := m.must(nil, "recover", "--data", m.dir, "--dry-run")
	found := indexIn.FindStringSubmatch(out)
	if found == nil {
		m.t.Fatalf("recover --dry-run tells no index:\n%s", out)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// refused: it does not start, and says why.
func (m *machine) refused() {
	if out, err := m.command(nil, "node", "run", "--data", m.dir); err == nil || !strings.Contains(out, "node_removed") {
		m.t.Errorf("%s was given up, and has come back: %v\n%s", m.id, err, out)
	}
}

// quorumOfTheDead starts three of the five while the survivor is away, which is
// what the steps warn of: they write, until they can reach it.
func (g *lostGroup) quorumOfTheDead(survivor *machine, dead []*machine) {
	g.t.Helper()
	survivor.kill()
	g.each(dead, (*machine).start)
	tries := 0
	within(g.t, 20*time.Second, "the dead are a quorum", func() bool {
		tries++ // a name is taken once its outcome is unknown
		return g.try(dead[0], fmt.Sprint("by the dead ", tries)) == nil
	})
	survivor.run()
	for _, n := range dead {
		ended := make(chan error, 1)
		go func() { ended <- n.process.Wait() }()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(n.out.String(), "node_removed") {
				g.t.Errorf("%s ends with %v, and does not say why", n.id, err)
			}
			n.process = nil
		case <-time.After(15 * time.Second):
			g.t.Fatalf("%s runs on beside the recovered cluster", n.id)
		}
	}
	g.write(survivor, "by the survivor")
	if missing := g.lacks(survivor); missing != "" {
		g.t.Errorf("lost to those that came back: %s", missing)
	}
	if err := g.try(survivor, fmt.Sprint("by the dead ", tries)); err != nil { // the name is free: that write is not here
		g.t.Errorf("what the dead wrote has come in: %v", err)
	}
}

// rejoin empties the old machines and has them join anew.
func (g *lostGroup) rejoin(survivor, other *machine) {
	g.t.Helper()
	for _, n := range append([]*machine{other}, slices.DeleteFunc(slices.Clone(g.all), func(n *machine) bool { return n == survivor || n == other })...) {
		if err := os.RemoveAll(n.dir); err != nil {
			g.t.Fatal(err)
		}
		g.join(survivor, n)
	}
	g.awaitVoters(survivor)
}

// same: the five copies agree, to the byte, and have all that is to stay.
func (g *lostGroup) same() {
	g.t.Helper()
	said := map[string]chaos.StateHash{}
	within(g.t, 20*time.Second, "all tell the hash of one index", func() bool {
		at := map[uint64]bool{}
		for _, n := range g.all {
			var h chaos.StateHash
			if err := n.admin(g.key, http.MethodGet, "/admin/v1/state", nil, &h); err != nil || h.Hash == "" {
				return false
			}
			said[n.id], at[h.Index] = h, true
		}
		return len(at) == 1
	})
	for _, n := range g.all {
		if said[n.id] != said[g.all[0].id] {
			g.t.Errorf("the states differ: %v", said)
		}
		if missing := g.lacks(n); missing != "" {
			g.t.Errorf("%s lacks %s", n.id, missing)
		}
	}
}
