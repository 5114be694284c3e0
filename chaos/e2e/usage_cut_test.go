//go:build e2e

package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
	"github.com/lotabots/lotabots/node/dev"
)

// TestUsageOfAGatewayCutOff: a node that is cut off from the others goes on answering its
// clients, and can tell nobody what they used. Once the cut has ended the cluster counts all of
// it, once.
func TestUsageOfAGatewayCutOff(t *testing.T) {
	set, err := links.Open(3)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	arguments := []string{"--nodes", "3"}
	for _, l := range set.Links() {
		arguments = append(arguments, "--link", dev.Link{Listen: l.Listen.String(), Advertise: l.Advertise.String()}.String())
	}
	c := startCluster(t, []string{"LOTABOTS_PLACEMENT_DEAD_GRACE=10m"}, arguments...)
	c.await(time.Minute, "an instance is ready in each region", c.spread)
	lone := pick(c, "holder", nil)
	var others []string
	for i, n := range c.file.Nodes {
		if i != lone {
			others = append(others, n.API)
		}
	}
	const most = 40
	keys := make(chan string, most)
	for range most {
		key := createKey(c, 0)
		if key == "" {
			t.Fatal("a key was not created")
		}
		keys <- key
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	payers := []*payer{ // the first asks the one that will be alone
		{c: c, keys: keys, gateways: func() []string { return []string{c.file.Nodes[lone].API} }},
		{c: c, keys: keys, gateways: func() []string { return others }},
	}
	for i, p := range payers {
		p.told, p.unknown = map[string]*bill{}, map[string]bool{}
		all.Go(func() {
			if err := p.pay(ctx, rand.New(rand.NewPCG(uint64(i), 11))); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(time.Second)
	for i := range c.file.Nodes {
		if i != lone {
			set.Cut(lone, i, links.Freeze)
			set.Cut(i, lone, links.Freeze)
		}
	}
	time.Sleep(12 * time.Second) // longer than a gateway waits to tell what was used
	stop()
	all.Wait()
	alone := 0
	for _, b := range payers[0].told {
		alone += b.requests
	}
	counted, known := 0, c.counted("--endpoint", others[0], "--key", c.file.AdminKey)
	for key := range payers[0].told { // as the others know it
		counted += known[key].requests
	}
	if alone == 0 || counted >= alone {
		t.Errorf("%d requests were answered by the one that is alone, and the others know of %d: nothing is shown", alone, counted)
	}
	set.Heal()
	reconcile(c, payers)
}
