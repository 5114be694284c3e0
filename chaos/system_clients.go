package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A system is one run of System on its way.
type system struct {
	config   SystemConfig
	cluster  *cluster
	history  *History
	registry *registry
	nemesis  *nemesis
	say      func(format string, args ...any)
	done     atomic.Int64 // operations of clients that were answered
	mu       struct {
		sync.Mutex
		keys  []madeKey // acknowledged
		names map[string]bool
	}
}

func (s *system) random(of int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(s.config.Seed), uint64(of)))
}

// The clients share the deployments of one generation, so that they meet; a new
// generation now and then keeps each register's history short enough to judge.
const (
	generation = 160 // operations
	together   = 6   // deployments of one generation
)

// client works on keys and deployments in turn, through any node, until ctx ends.
func (s *system) client(ctx context.Context, client int) {
	random := s.random(client)
	var mine []madeKey
	for ctx.Err() == nil {
		var o Op
		if random.IntN(2) == 0 {
			o, mine = s.keyStep(ctx, random, client, mine)
		} else {
			o = s.deploymentStep(ctx, random, client)
		}
		if o.Result != Refused && o.Result != Unknown {
			s.done.Add(1)
		}
		sleep(ctx, time.Duration(random.IntN(60))*time.Millisecond)
	}
}

func (s *system) any(random *rand.Rand) node {
	return s.cluster.nodes[random.IntN(len(s.cluster.nodes))]
}

// keyStep does one thing to a key, and returns the keys that are still to work with.
func (s *system) keyStep(ctx context.Context, random *rand.Rand, client int, mine []madeKey) (Op, []madeKey) {
	whole := context.WithoutCancel(ctx) // what was begun has its answer waited for
	if len(mine) < 3 || random.IntN(4) == 0 {
		k, made := s.registry.create(whole, s.any(random), client)
		if made.Result != Done {
			return made, mine
		}
		s.mu.Lock()
		s.mu.keys = append(s.mu.keys, k)
		s.mu.Unlock()
		return made, append(mine, k)
	}
	at := random.IntN(len(mine))
	k := mine[at]
	switch random.IntN(4) {
	case 0:
		return s.registry.revoke(whole, s.any(random), k, client), mine
	case 1: // the last of it, until the last look
		mine = append(mine[:at], mine[at+1:]...)
	}
	return s.registry.find(whole, s.any(random), k, way(random.IntN(2)), client), mine
}

func (s *system) deploymentStep(ctx context.Context, random *rand.Rand, client int) Op {
	done := s.done.Load()
	name := fmt.Sprintf("g%04d-%d", done/generation, random.IntN(together))
	s.mu.Lock()
	if s.mu.names == nil {
		s.mu.names = map[string]bool{}
	}
	s.mu.names[name] = true
	s.mu.Unlock()
	whole := context.WithoutCancel(ctx)
	nodes := func() node { return s.any(random) }
	switch random.IntN(5) {
	case 0, 1:
		return s.registry.put(whole, nodes, name, fmt.Sprintf("%d-%d", client, random.Uint32()), client)
	case 2:
		return s.registry.drop(whole, nodes, name, client)
	}
	return s.registry.get(whole, nodes(), name, way(random.IntN(2)), client)
}

// lookOnceMore reads every acknowledged key and every deployment on every node.
func (s *system) lookOnceMore(ctx context.Context) error {
	errs := make(chan error, len(s.cluster.nodes))
	for i, n := range s.cluster.nodes {
		go func() { errs <- s.look(ctx, n, lastLook+i) }()
	}
	var failed error
	for range s.cluster.nodes {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return failed
}

func (s *system) look(ctx context.Context, n node, client int) error {
	begin, at := s.history.Now(), s.registry.at(byIndex)
	found := map[string]string{}
	for cursor := ""; ; {
		page, p := s.registry.keysAfter(ctx, n, cursor, 1000, at)
		if p.of() != Done {
			return fmt.Errorf("node %s does not list the keys: %d %s %w", n.ID, p.status, p.code, p.err)
		}
		for _, row := range page.Data {
			found[row.ID] = row.result()
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	end := s.history.Now()
	s.mu.Lock()
	keys, names := s.mu.keys, s.mu.names
	s.mu.Unlock()
	for _, k := range keys {
		o := Op{Op: OpRead, Client: client, Node: n.ID, Key: k.id, Begin: begin, End: end, Result: Absent}
		if result, ok := found[k.id]; ok {
			o.Result = result
		}
		s.history.Add(o)
	}
	for name := range names {
		if o := s.registry.get(ctx, n, name, byIndex, client); o.Result == Unknown {
			return fmt.Errorf("node %s does not tell what deployment %s is: %s %s", n.ID, name, o.Code, o.Detail)
		}
	}
	return nil
}
