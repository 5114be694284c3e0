//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
	"github.com/lotabots/lotabots/chaos/mockengine"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/dev"
)

// convergenceGoal is how soon what is wanted and what is seen are to meet again.
const convergenceGoal = 15 * time.Second

// A five is the cluster of TestFiveNodes, and what is wanted of it.
type five struct {
	*cluster
	links  *links.Set
	engine string // URL
	env    []string
	rng    *rand.Rand
	wanted map[string]*wish // by deployment
	named  int
	took   []time.Duration
}

// A wish is how many ready instances of which version a deployment is to have.
type wish struct {
	replicas, slots int
	version         uint64
}

// TestFiveNodes kills nodes, cuts them off and takes the majority of the voters away
// while deployments change. What is wanted and what is seen meet again, with nothing
// beside; a node that is cut off keeps what it has until it knows better, and nothing
// stops because nobody leads. LOTABOTS_FIVE=full makes it 30 rounds.
func TestFiveNodes(t *testing.T) {
	f := startFive(t)
	faults := []func(){f.killed, f.cutOff, f.leaderless}
	rounds := len(faults)
	if os.Getenv("LOTABOTS_FIVE") == "full" {
		rounds = 30
	}
	for i := range rounds {
		faults[i%len(faults)]()
	}
	slices.Sort(f.took)
	at := func(q float64) time.Duration { return f.took[int(math.Ceil(q*float64(len(f.took)-1)))] }
	missed := ""
	if at(1) > convergenceGoal {
		missed = " (missed)"
	}
	t.Logf("%d times apart and met again: p50 %v, p99 %v", len(f.took), at(0.5), at(0.99))
	fmt.Printf("figure: five_nodes_convergence_p50 %.1f s goal none\n", at(0.5).Seconds())
	fmt.Printf("figure: five_nodes_convergence_p99 %.1f s goal <= %g%s\n", at(0.99).Seconds(), convergenceGoal.Seconds(), missed)
}

func startFive(t *testing.T) *five {
	set, err := links.Open(5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = set.Close() })
	f := &five{links: set, engine: serveMock(t, mockengine.New(mockengine.Config{})), rng: rand.New(rand.NewPCG(5, 8)), wanted: map[string]*wish{}}
	arguments := []string{"--nodes", "5", "--regions", "north,south", "--engine", "external", "--engine-url", f.engine}
	for _, l := range set.Links() {
		arguments = append(arguments, "--link", dev.Link{Listen: l.Listen.String(), Advertise: l.Advertise.String()}.String())
	}
	f.env = []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + f.engine, "LOTABOTS_PLACEMENT_DEAD_GRACE=2s",
		"LOTABOTS_DEVICES_KIND=simulated", "LOTABOTS_DEVICES_SIMULATED=2", "LOTABOTS_DEVICES_MEMORY_MB=1000"}
	f.cluster = startCluster(t, f.env, arguments...)
	f.must(0, "DELETE", f.file.Deployment, nil)
	for i, n := range []int{2, 3, 1} {
		f.deploy(0, fmt.Sprint("m", i), n, 4)
	}
	f.meet("at the start", time.Now(), nil)
	f.took = nil
	return f
}

// admin asks one node.
func (f *five) admin(node int, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return client.New(f.file.AdminKey, f.file.Nodes[node].API).Do(ctx, method, path, in, out)
}

// must writes a deployment by way of the node, which may have to wait for a leader.
func (f *five) must(node int, method, name string, in any) (version uint64) {
	f.t.Helper()
	var out struct {
		Version uint64 `json:"version"`
	}
	var err error
	f.await(30*time.Second, method+" "+name, func() bool {
		err = f.admin(node, method, "/admin/v1/deployments/"+name, in, &out)
		return err == nil || method == "DELETE" && !f.has(node, name)
	})
	return out.Version
}

func (f *five) has(node int, name string) bool {
	return f.admin(node, "GET", "/admin/v1/deployments/"+name, nil, nil) == nil
}

func (f *five) deploy(node int, name string, replicas, slots int) {
	f.t.Helper()
	version := f.must(node, "PUT", name, map[string]any{"engine": "external", "options": map[string]string{"url": f.engine}, "replicas": replicas, "slots": slots})
	f.wanted[name] = &wish{replicas: replicas, slots: slots, version: version}
}

// change changes what is wanted, by way of the node.
func (f *five) change(node int) {
	var names []string
	for name := range f.wanted {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[f.rng.IntN(len(names))]
	switch w := f.wanted[name]; f.rng.IntN(4) {
	case 0:
		f.deploy(node, name, 1+f.rng.IntN(4), w.slots)
	case 1, 2:
		f.deploy(node, name, w.replicas, w.slots%8+1) // another version
	case 3:
		f.must(node, "DELETE", name, nil)
		delete(f.wanted, name)
		f.named++
		f.deploy(node, fmt.Sprint("new", f.named), 1+f.rng.IntN(3), 4)
	}
}

// An instance is one as a node's status tells of it.
type seen struct {
	ID         string `json:"id"`
	Deployment string `json:"deployment"`
	Version    uint64 `json:"version"`
	Node       string `json:"node"`
	State      string `json:"state"`
}

func (f *five) seen(node int) (out []seen, err error) {
	var s struct {
		Instances []seen `json:"instances"`
	}
	err = f.admin(node, "GET", "/admin/v1/status", nil, &s)
	return s.Instances, err
}

// apart tells in what the cluster, as the node sees it, is not as wanted; empty: in nothing.
func (f *five) apart(node int, away []int) string {
	all, err := f.seen(node)
	if err != nil {
		return err.Error()
	}
	have := map[string]int{}
	for _, i := range all {
		w := f.wanted[i.Deployment]
		gone := slices.ContainsFunc(away, func(n int) bool { return f.file.Nodes[n].ID == i.Node })
		if w == nil || i.Version != w.version || i.State != "ready" || gone {
			return fmt.Sprintf("%+v is there", i)
		}
		have[i.Deployment]++
	}
	for name, w := range f.wanted {
		if have[name] != w.replicas {
			return fmt.Sprintf("%s has %d ready instances of %d", name, have[name], w.replicas)
		}
	}
	return ""
}

// meet waits until all that live see what is wanted and nothing else, and notes how long that took.
func (f *five) meet(what string, since time.Time, away []int) {
	f.t.Helper()
	last := "" // what was waited for last
	for end := since.Add(4 * convergenceGoal); ; time.Sleep(100 * time.Millisecond) {
		why := ""
		for n := range f.file.Nodes {
			if !slices.Contains(away, n) && why == "" {
				why = f.apart(n, away)
			}
		}
		if why == "" {
			break
		}
		last = why
		if time.Now().After(end) {
			f.t.Fatalf("%s: wanted and seen have not met after %v: %s", what, time.Since(since).Round(time.Second), why)
		}
	}
	took := time.Since(since)
	f.t.Logf("%s: met after %v; last, %s", what, took.Round(100*time.Millisecond), last)
	f.took = append(f.took, took)
}

// some picks so many nodes to strike; the first of them runs something.
func (f *five) some(n int) []int {
	all, err := f.seen(0)
	if err != nil || len(all) == 0 {
		f.t.Fatalf("nothing runs: %v", err)
	}
	holder := all[f.rng.IntN(len(all))].Node
	order := f.rng.Perm(len(f.file.Nodes))
	slices.SortStableFunc(order, func(a, b int) int {
		return rank(f.file.Nodes[a].ID == holder) - rank(f.file.Nodes[b].ID == holder)
	})
	return order[:n]
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

func (f *five) living(away []int) int {
	for {
		if n := f.rng.IntN(len(f.file.Nodes)); !slices.Contains(away, n) {
			return n
		}
	}
}

func (f *five) strike(nodes []int) {
	for _, n := range nodes {
		if err := syscall.Kill(f.file.Nodes[n].PID, syscall.SIGKILL); err != nil {
			f.t.Fatal(err)
		}
	}
}

// revive starts the killed nodes again, all at once: some may be ready only when others are.
func (f *five) revive(nodes []int) {
	f.t.Helper()
	var starting sync.WaitGroup
	for _, n := range nodes {
		starting.Go(func() {
			again := exec.Command(binary(f.t), "dev", "restart", f.file.Nodes[n].ID, "--data", f.dir)
			again.Env = append(os.Environ(), f.env...)
			if out, err := again.CombinedOutput(); err != nil {
				f.t.Errorf("%v: %s", err, out)
			}
		})
	}
	starting.Wait()
	again, err := dev.Load(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	*f.file = *again
}

// killed: a node dies, and comes back.
func (f *five) killed() {
	dead := f.some(1)
	f.strike(dead)
	began := time.Now()
	f.change(f.living(dead))
	f.meet("a node was killed", began, dead)
	began = time.Now()
	f.revive(dead)
	f.change(f.living(nil))
	f.meet("it has come back", began, nil)
}

// cutOff: nobody hears of a node, nor it of anybody. It serves on what it has, until
// it is back and is told otherwise.
func (f *five) cutOff() {
	lone := f.some(1)
	before := f.own(lone[0])
	for i := range f.file.Nodes {
		if i != lone[0] {
			f.links.Cut(lone[0], i, links.Freeze)
			f.links.Cut(i, lone[0], links.Freeze)
		}
	}
	began := time.Now()
	f.change(f.living(lone))
	f.meet("a node was cut off", began, lone)
	if after := f.own(lone[0]); !slices.Equal(before, after) {
		f.t.Errorf("while it was cut off and knew of nothing, it went from %v to %v", before, after)
	}
	f.links.Heal()
	f.meet("it is heard of again", time.Now(), nil)
}

// own lists what a node says that it serves.
func (f *five) own(node int) (out []string) {
	f.t.Helper()
	all, err := f.seen(node)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, i := range all {
		if i.Node == f.file.Nodes[node].ID && i.State == "ready" {
			out = append(out, i.ID)
		}
	}
	slices.Sort(out)
	return out
}

// leaderless: most voters are away, so that nobody leads. What runs on the others goes on.
func (f *five) leaderless() {
	dead := f.some(3)
	var left []int
	for n := range f.file.Nodes {
		if !slices.Contains(dead, n) {
			left = append(left, n)
		}
	}
	serve := map[int][]string{}
	for _, n := range left {
		serve[n] = f.own(n)
	}
	f.strike(dead)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, n := range left {
			if now := f.own(n); !slices.Equal(now, serve[n]) {
				f.t.Fatalf("while nobody leads, %s went from %v to %v", f.file.Nodes[n].ID, serve[n], now)
			}
		}
	}
	began := time.Now()
	f.revive(dead)
	f.change(f.living(nil))
	f.meet("a majority has come back", began, nil)
}
