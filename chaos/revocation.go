package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A RevocationConfig is a measurement of how soon a key that is revoked is refused
// on every node of a healthy cluster.
type RevocationConfig struct {
	Binary string // the lotabots executable
	Nodes  int
	Times  int
	Out    io.Writer // progress; nil: none
}

// A RevocationReport has one time for each revocation. Every node is asked again
// and again, from before the revocation on, by a client of its own.
type RevocationReport struct {
	// Answered are from the call of a revocation to its answer.
	Answered []time.Duration
	// Called are from the call to the last node's last answer that let the key in;
	// 0 where none did any more.
	Called []time.Duration
	// After are the same from the answer: 0 where every node refused by then.
	After []time.Duration
	// Created are, for comparison, from the call of a key's creation to the first
	// answers by which every node lets it in.
	Created []time.Duration
	// Lagging counts the revocations whose answers named a node.
	Lagging int
	// Gap is the longest time between two answers of one node, to which a figure is exact.
	Gap time.Duration
}

// Revocation measures on a cluster of its own.
func Revocation(ctx context.Context, c RevocationConfig) (report *RevocationReport, err error) {
	whole, err := Config{Seed: 1, Binary: c.Binary, Nodes: c.Nodes, Engine: "none", Faults: []Kind{Kill}, Out: c.Out}.withDefaults()
	if err != nil {
		return nil, err
	}
	mock, err := startMock()
	if err != nil {
		return nil, err
	}
	defer mock.close()
	k, err := startCluster(ctx, whole, mock.url)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, k.stop())
		k.remove()
	}()
	m := &revocation{failover: &failover{system: newSystem(SystemConfig{Seed: 1}, whole, k)}, report: &RevocationReport{}}
	m.registry.web = keepingHTTP(len(k.nodes))
	if _, err := m.settled(ctx); err != nil {
		return nil, err
	}
	for i := range c.Times {
		if err := m.measure(ctx, i); err != nil {
			return m.report, err
		}
	}
	return m.report, ctx.Err()
}

// A revocation is a measurement on its way.
type revocation struct {
	*failover
	report *RevocationReport
}

// asking is what one node answered about a key: when it first let it in, when it
// last did, when it first refused it for good, on the history's clock.
type asking struct{ first, last, refused, gap time.Duration }

// measure creates a key, waits until every node lets it in, and revokes it through
// one of them.
func (m *revocation) measure(ctx context.Context, turn int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	at := m.cluster.nodes[turn%len(m.cluster.nodes)]
	called := m.history.Now()
	c, made := m.registry.makeKeyOf(ctx, at, "", fmt.Sprintf("revocation-%d", turn), 0)
	if made.Result != Done {
		return fmt.Errorf("creating a key on node %s: %s %s", at.ID, made.Code, made.Detail)
	}
	seen := make([]asking, len(m.cluster.nodes))
	var in, all sync.WaitGroup
	in.Add(len(seen))
	for i, n := range m.cluster.nodes {
		all.Go(func() { m.ask(ctx, n, c, &seen[i], in.Done) })
	}
	in.Wait()
	sleep(ctx, 20*time.Millisecond)
	o := m.registry.take(ctx, at, Op{Op: OpRevoke, What: whatKey, Key: c.key}, "/admin/v1/keys/"+c.key)
	all.Wait()
	if o.Result != Done {
		return fmt.Errorf("revoking a key on node %s: %s %s", at.ID, o.Code, o.Detail)
	}
	var created, last time.Duration
	for i, s := range seen {
		if s.refused == 0 || s.first == 0 {
			return fmt.Errorf("node %s did not let key %s in and then refuse it within 20 s", m.cluster.nodes[i].ID, c.key)
		}
		created, last, m.report.Gap = max(created, s.first), max(last, s.last), max(m.report.Gap, s.gap)
	}
	r := m.report
	r.Created, r.Answered = append(r.Created, created-called), append(r.Answered, o.End-o.Begin)
	r.Called, r.After = append(r.Called, max(last-o.Begin, 0)), append(r.After, max(last-o.End, 0))
	if len(o.Closing) > 0 {
		r.Lagging++
	}
	return nil
}

// ask uses the key on one node until that refuses it. An answer that lets in
// counts by when it came: it was given no later.
func (m *revocation) ask(ctx context.Context, n node, c credential, s *asking, in func()) {
	let := sync.OnceFunc(in)
	defer let()
	for before := m.history.Now(); ctx.Err() == nil; {
		o := m.registry.enter(ctx, n, c, 0)
		switch {
		case o.Result == Live && s.first == 0:
			s.first, s.last = o.End, o.End
			let()
		case o.Result == Live:
			s.last, s.gap = o.End, max(s.gap, o.End-before)
		case o.Result == Revoked:
			s.refused = o.End
			return
		}
		before = o.End
		sleep(ctx, 2*time.Millisecond)
	}
}
