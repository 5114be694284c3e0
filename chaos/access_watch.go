package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
)

// watchers is how many try what was taken away on each node.
const watchers = 2

// watch uses what was taken away lately, and what is in force, on one node, whole
// or broken.
func (a *accessRun) watch(ctx context.Context, at, client int) {
	random := a.random(client)
	for sleep(ctx, time.Duration(30+random.IntN(60))*time.Millisecond) {
		list := a.recent(0, mostBad)
		if len(list) == 0 || random.IntN(3) == 0 {
			a.mu.Lock()
			for _, what := range []string{whatKey, whatSession} {
				for _, h := range a.mu.live[what] {
					list = append(list, h.credential)
				}
			}
			a.mu.Unlock()
		}
		if len(list) > 0 {
			a.enter(context.WithoutCancel(ctx), a.cluster.nodes[at], list[random.IntN(len(list))], client)
		}
	}
}

const (
	mostAtOnce    = 24
	burstPatience = 30 * time.Second
)

// burst has requests wait at a stopped node that is about to go on, by what was
// taken away while it stood still: its first answers are to these.
func (a *accessRun) burst(ctx context.Context, f Fault) {
	if f.Kind != Stop {
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), burstPatience)
	var waiting sync.WaitGroup
	for i, c := range a.recent(a.history.Now()-f.Hold, mostAtOnce) {
		waiting.Go(func() { a.registry.enter(limited, a.cluster.nodes[f.Node], c, burstClient+i) })
	}
	a.bursts.Go(func() {
		waiting.Wait()
		cancel()
	})
	sleep(ctx, 100*time.Millisecond) // they are on their way
}

// burstClient is the first client number of bursts.
const burstClient = 500

// lookAgain reads everything that was last worked with on every node, and uses
// what was taken away.
func (a *accessRun) lookAgain(ctx context.Context) {
	a.mu.Lock()
	keys, sessions := slices.Clone(a.mu.live[whatKey]), slices.Clone(a.mu.live[whatSession])
	a.mu.Unlock()
	gone := a.recent(0, 10*mostBad)
	var looking sync.WaitGroup
	for i, n := range a.cluster.nodes {
		client := lastLook + i
		looking.Go(func() {
			for _, h := range keys {
				a.registry.readKey(ctx, n, h.key, byIndex, client)
			}
			for _, h := range sessions {
				a.registry.readSession(ctx, n, h.user, h.key, byIndex, client)
			}
			for _, p := range a.staff {
				for _, role := range boundRoles {
					a.registry.readBinding(ctx, n, p.id, role.id, byIndex, client)
				}
			}
			for _, c := range gone {
				a.enter(ctx, n, c, client)
			}
		})
	}
	looking.Wait()
}

// AccessPlan is the schedule of a seed for the test of access. Every stop and cut
// of the first round lasts longer than the tenant's credentials may be let in by
// an old state; later ones may be short. Who leads is chosen when they come.
func AccessPlan(seed int64, duration time.Duration, nodes int, maxAge time.Duration) []Fault {
	random := rand.New(rand.NewPCG(uint64(seed), 0xacce55))
	between := func(low, high time.Duration) time.Duration {
		return (low + time.Duration(random.Int64N(int64(high-low)+1))).Round(time.Millisecond)
	}
	kinds := []Fault{{Kind: Stop}, {Kind: Cut, Direction: Both}, {Kind: Kill}, {Kind: Cut, Direction: Out}, {Kind: Cut, Direction: In}}
	var out []Fault
	at := quiet
	for i, turn := 0, random.IntN(len(kinds)); at < duration; i, turn = i+1, turn+1 {
		f := kinds[turn%len(kinds)]
		f.Node, f.At = random.IntN(nodes), at
		f.Hold = between(maxAge+1500*time.Millisecond, maxAge+3*time.Second)
		if f.Kind == Cut {
			f.Mode = []links.Mode{links.Freeze, links.Reset}[random.IntN(2)]
		}
		if f.Kind == Kill || i >= len(kinds) && random.IntN(2) == 0 {
			f.Hold = between(200*time.Millisecond, 3*time.Second)
		}
		out = append(out, f)
		at += f.Hold + between(time.Second, 3*time.Second)
	}
	return out
}
