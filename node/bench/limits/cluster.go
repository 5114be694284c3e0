package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/quotas"
)

const oneWay = time.Millisecond

var errDead = errors.New("it is dead")

// perMinute are the limits that are measured.
var perMinute = map[string]uint32{"key/k/rpm": 12_000, "key/k/tpm": 3_000_000}

// A cluster is workers that own limits, and what the nodes know of each other.
type cluster struct {
	notice time.Duration // after which a death is known
	mu     struct {
		sync.Mutex
		seen    []spec.NodeID // whom everybody believes alive
		alive   map[spec.NodeID]*worker
		biggest uint64 // grant so far
	}
	later sync.WaitGroup
}

type worker struct {
	keeper *quotas.Keeper
	local  *quota.Local
	end    context.CancelFunc
	ended  sync.WaitGroup
}

func newCluster(workers int, notice time.Duration) *cluster {
	c := &cluster{notice: notice}
	c.mu.alive = map[spec.NodeID]*worker{}
	for i := range workers {
		c.start(spec.NodeID(fmt.Sprintf("w%d", i)))
	}
	return c
}

func (c *cluster) config(self spec.NodeID) quotas.Config {
	return quotas.Config{Self: self, Workers: c.seen, Level: func() uint32 { return wire.Level }, Age: func() time.Duration { return 0 }, Ask: c.ask}
}

// start adds a worker that knows nothing.
func (c *cluster) start(id spec.NodeID) {
	w := &worker{}
	w.local = quota.StartLocal(quota.Config{Changed: func() { w.keeper.Changed() },
		Lost: func(limit string) (time.Duration, bool) { return w.keeper.Lost(limit) }})
	k := c.config(id)
	k.Own, k.Collect = w.local.Ask, w.local.Collect
	w.keeper = quotas.New(k)
	ctx, end := context.WithCancel(context.Background())
	w.end = end
	c.mu.Lock()
	c.mu.alive[id] = w
	c.mu.seen = append(slices.Clone(c.mu.seen), id)
	c.mu.Unlock()
	w.ended.Go(func() { w.keeper.Run(ctx, 0) })
}

// kill ends a worker at once: it tells nobody, and nobody knows yet.
func (c *cluster) kill(id spec.NodeID) {
	c.mu.Lock()
	w := c.mu.alive[id]
	delete(c.mu.alive, id)
	c.mu.Unlock()
	c.later.Go(func() {
		time.Sleep(c.notice)
		c.mu.Lock()
		c.mu.seen = slices.DeleteFunc(slices.Clone(c.mu.seen), func(s spec.NodeID) bool { return s == id })
		c.mu.Unlock()
		w.end()
		w.ended.Wait()
		w.local.Stop()
	})
}

func (c *cluster) seen() []spec.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.seen)
}

// ask brings a request to a worker that lives, and its answer back where it still does.
func (c *cluster) ask(ctx context.Context, to spec.NodeID, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	time.Sleep(oneWay)
	c.mu.Lock()
	w := c.mu.alive[to]
	c.mu.Unlock()
	if w == nil {
		return nil, errDead
	}
	g, err := w.keeper.Grant(ctx, "", r)
	time.Sleep(oneWay)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.alive[to] != w {
		return nil, errDead
	}
	if err == nil {
		c.mu.biggest = max(c.mu.biggest, uint64(g.GetGranted()))
	}
	return g, err
}

// biggest is the largest grant since it was last asked.
func (c *cluster) largest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.mu.biggest
	c.mu.biggest = 0
	return n
}

// owner is the worker that grants of the limit.
func (c *cluster) owner(limit string) spec.NodeID {
	c.mu.Lock()
	alive := make(map[spec.NodeID]*worker, len(c.mu.alive))
	for id, w := range c.mu.alive {
		alive[id] = w
	}
	c.mu.Unlock()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if id := granter(alive, limit); id != "" {
			return id
		}
	}
	panic("nobody grants of the limit")
}

func granter(alive map[spec.NodeID]*worker, limit string) spec.NodeID {
	for id, w := range alive {
		if _, err := w.keeper.Grant(context.Background(), "", &wire.QuotaRequest{Limit: limit, PerMinute: perMinute[limit]}); err == nil {
			return id
		}
	}
	return ""
}

func (c *cluster) close() {
	c.mu.Lock()
	ids := make([]spec.NodeID, 0, len(c.mu.alive))
	for id := range c.mu.alive {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	c.notice = 0
	for _, id := range ids {
		c.kill(id)
	}
	c.later.Wait()
}
