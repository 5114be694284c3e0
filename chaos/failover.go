package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A FailoverConfig is a measurement of how long nothing can be written when the
// leader dies, and when it hands over.
type FailoverConfig struct {
	Binary    string // the lotabots executable
	Nodes     int
	Kills     int
	Transfers int
	Out       io.Writer // progress; nil: none
}

// A FailoverReport has one time for each kill, and two for each transfer.
type FailoverReport struct {
	// Kills are from the SIGKILL of the leader to the next acknowledged write. The
	// clients ask every other node, from the blow on.
	Kills []time.Duration
	// Everywhere are from the SIGKILL to the time by which a write was acknowledged
	// on every other node.
	Everywhere []time.Duration
	// Transfers are from the request to hand over to the first write acknowledged
	// after its answer.
	Transfers []time.Duration
	// Gaps are the longest times within a transfer in which a client that writes
	// one thing after the other had no answer.
	Gaps []time.Duration
}

// Failover measures on a cluster of its own.
func Failover(ctx context.Context, c FailoverConfig) (report *FailoverReport, err error) {
	whole, err := Config{Seed: 1, Binary: c.Binary, Nodes: c.Nodes, Engine: "none", Faults: []Kind{Kill}, Out: c.Out}.withDefaults()
	if err != nil {
		return nil, err
	}
	if votersOf(c.Nodes) < 3 {
		return nil, fmt.Errorf("%d nodes: want 3 or more, so that a leader can be spared", c.Nodes)
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
	m := &failover{system: newSystem(SystemConfig{Seed: 1}, whole, k), report: &FailoverReport{}}
	if err := m.awaitVoters(ctx); err != nil {
		return nil, err
	}
	for range c.Transfers {
		if err := m.transfer(ctx); err != nil {
			return m.report, err
		}
	}
	for range c.Kills {
		if err := m.kill(ctx); err != nil {
			return m.report, err
		}
	}
	return m.report, ctx.Err()
}

// A failover is a measurement on its way.
type failover struct {
	*system
	report *FailoverReport
}

// settled waits for a cluster at rest, and returns who leads it.
func (m *failover) settled(ctx context.Context) (int, error) {
	if missing := m.cluster.awaitWhole(ctx, m.registry, 0, nil, 30*time.Second); missing != "" {
		return 0, errors.New("the cluster is not whole: " + missing)
	}
	if err := m.awaitVoters(ctx); err != nil {
		return 0, err
	}
	sleep(ctx, 300*time.Millisecond)
	return m.leader(ctx)
}

func (m *failover) kill(ctx context.Context) error {
	leader, err := m.settled(ctx)
	if err != nil {
		return err
	}
	if err := m.cluster.signal(leader, syscall.SIGKILL); err != nil {
		return err
	}
	began := time.Now()
	first, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var asking sync.WaitGroup
	took := make(chan time.Duration, len(m.cluster.nodes))
	for i, n := range m.cluster.nodes {
		if i == leader {
			continue
		}
		asking.Go(func() {
			for first.Err() == nil {
				if _, made := m.registry.create(first, n, i); made.Result == Done {
					took <- time.Since(began)
					return
				}
				sleep(first, 5*time.Millisecond)
			}
		})
	}
	asking.Wait()
	close(took)
	var all []time.Duration
	for d := range took {
		all = append(all, d)
	}
	if len(all) < len(m.cluster.nodes)-1 {
		return errors.Join(fmt.Errorf("a minute after the leader was killed, %d of %d nodes can write", len(all), len(m.cluster.nodes)-1), ctx.Err())
	}
	m.report.Kills, m.report.Everywhere = append(m.report.Kills, slices.Min(all)), append(m.report.Everywhere, slices.Max(all))
	m.say("killed %s: %v, on every node %v", m.cluster.nodes[leader].ID, slices.Min(all).Round(time.Millisecond), slices.Max(all).Round(time.Millisecond))
	return m.cluster.restart(ctx, leader)
}

func (m *failover) transfer(ctx context.Context) error {
	leader, err := m.settled(ctx)
	if err != nil {
		return err
	}
	from, other := m.cluster.nodes[leader], m.cluster.nodes[(leader+1)%len(m.cluster.nodes)]
	writing, stop := context.WithCancel(ctx)
	var steady sync.WaitGroup
	var gap time.Duration
	steady.Go(func() {
		for last := time.Now(); writing.Err() == nil; {
			if _, made := m.registry.create(context.WithoutCancel(writing), other, 1); made.Result == Done {
				gap = max(gap, time.Since(last))
				last = time.Now()
			}
		}
	})
	sleep(ctx, 100*time.Millisecond)
	began := time.Now()
	p := m.registry.call(ctx, from, from.key, http.MethodPost, "/admin/v1/leadership/transfer", nil, 0)
	var took time.Duration
	for p.of() == Done && took == 0 && ctx.Err() == nil {
		if _, made := m.registry.create(ctx, other, 2); made.Result == Done {
			took = time.Since(began)
		}
	}
	sleep(ctx, 100*time.Millisecond)
	stop()
	steady.Wait()
	if took == 0 {
		return fmt.Errorf("node %s did not hand over: %d %s %w", from.ID, p.status, p.code, errors.Join(p.err, ctx.Err()))
	}
	m.report.Transfers, m.report.Gaps = append(m.report.Transfers, took), append(m.report.Gaps, gap)
	m.say("%s handed over: %v, no write for %v", from.ID, took.Round(time.Millisecond), gap.Round(time.Millisecond))
	return nil
}

// Quantile of the times, which it sorts; 0 where there are none.
func Quantile(times []time.Duration, q float64) time.Duration { return quantile(times, q) }
