package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// A nemesis carries out a plan, one fault at a time. After each kill it asks
// how long the others take until they can write again, and after each fault how
// long the cluster takes until it is whole.
type nemesis struct {
	cluster  *cluster
	history  *History
	registry *registry
	wanted   map[string]int // ready instances of a whole cluster, by deployment
	limits   Limits
	say      func(format string, args ...any)
	before   func(ctx context.Context, f Fault) // called just before a fault is ended; nil: nothing
}

// run carries out the plan from the time begin on. Its error says that the
// cluster could not be brought back, which ends the run.
func (m *nemesis) run(ctx context.Context, begin time.Duration, plan []Fault) error {
	for _, f := range plan {
		if !sleep(ctx, begin+f.At-m.history.Now()) {
			return nil
		}
		if err := m.inflict(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// targets are the nodes that a fault hits.
func (m *nemesis) targets(f Fault) []int {
	if f.Kind != Power {
		return []int{f.Node}
	}
	var all []int
	for i := range m.cluster.nodes {
		all = append(all, i)
	}
	return all
}

func (m *nemesis) inflict(ctx context.Context, f Fault) error {
	targets := m.targets(f)
	held := m.held()
	begin := m.history.Now()
	if err := m.strike(f, targets); err != nil {
		return err
	}
	m.say("%6.1fs  %s: %s", begin.Seconds(), f, m.named(targets))
	var probe sync.WaitGroup
	if f.Kind == Kill && len(m.cluster.nodes) > 2 {
		probe.Go(func() { m.probe(ctx, f.Node, begin) })
	}
	struck := m.history.Now()
	sleep(ctx, f.Hold)
	if m.before != nil {
		m.before(ctx, f)
	}
	for _, i := range targets {
		m.history.Add(Op{Op: OpHeld, Client: -1, Node: m.cluster.nodes[i].ID, Kind: f.Kind, Begin: struck, End: m.history.Now(), Result: Done, Detail: string(f.Direction)})
	}
	if f.Kind == Cut && ctx.Err() == nil && m.held() == held {
		return fmt.Errorf("cutting node %s off for %v held nothing back: its links do not go through the relays", m.named(targets), f.Hold)
	}
	errs := m.heal(context.WithoutCancel(ctx), f, targets)
	err := errors.Join(errs...)
	probe.Wait()
	missing := ""
	if err == nil {
		missing = m.settle(context.WithoutCancel(ctx), f)
	}
	end := m.history.Now()
	for at, i := range targets {
		m.history.Add(Op{Op: OpFault, Client: -1, Node: m.cluster.nodes[i].ID, Kind: f.Kind, Begin: begin, End: end, Result: result(errs[at]), Detail: f.String()})
	}
	if missing == "" && err == nil {
		m.say("%6.1fs  whole again, %v after the blow", end.Seconds(), (end - begin).Round(time.Millisecond))
	} else {
		m.say("%6.1fs  NOT whole again: %s", end.Seconds(), cmp.Or(missing, result(err)))
	}
	return err
}

// held counts what cuts have held back so far.
func (m *nemesis) held() int {
	if m.cluster.links == nil {
		return 0
	}
	return m.cluster.links.Dropped()
}

// strike is the blow.
func (m *nemesis) strike(f Fault, targets []int) error {
	if f.Kind == Cut {
		for i := range m.cluster.nodes {
			if i != f.Node && f.Direction != In {
				m.cluster.links.Cut(f.Node, i, f.Mode)
			}
			if i != f.Node && f.Direction != Out {
				m.cluster.links.Cut(i, f.Node, f.Mode)
			}
		}
		return nil
	}
	blow := syscall.SIGKILL
	if f.Kind == Stop {
		blow = syscall.SIGSTOP
	}
	for _, i := range targets {
		if err := m.cluster.signal(i, blow); err != nil {
			return fmt.Errorf("%s: %w", f.Kind, err)
		}
	}
	return nil
}

func result(err error) string {
	if err != nil {
		return err.Error()
	}
	return Done
}

// settle waits until the cluster is whole, twice as long as it may take.
func (m *nemesis) settle(ctx context.Context, f Fault) (missing string) {
	o := Op{Op: OpWhole, Client: -1, Node: m.cluster.nodes[f.Node].ID, Kind: f.Kind, Begin: m.history.Now(), Result: Done}
	if missing = m.cluster.awaitWhole(ctx, m.registry, f.Node, m.wanted, 2*m.limits.Settle); missing != "" {
		o.Result, o.Detail = Unknown, missing
	}
	o.End = m.history.Now()
	m.history.Add(o)
	return missing
}

// heal ends the fault and waits until the nodes are ready again; it returns one
// error for each target.
func (m *nemesis) heal(ctx context.Context, f Fault, targets []int) []error {
	errs := make([]error, len(targets))
	if f.Kind == Cut {
		m.cluster.links.Heal()
		return errs
	}
	var healing sync.WaitGroup
	for at, i := range targets {
		healing.Go(func() {
			if f.Kind == Stop {
				errs[at] = m.cluster.signal(i, syscall.SIGCONT)
			} else if errs[at] = m.cluster.restart(ctx, i); errs[at] == nil {
				errs[at] = m.cluster.ready(ctx, i, 30*time.Second)
			}
		})
	}
	healing.Wait()
	return errs
}

// probe writes through the nodes that live until one write succeeds. Its
// operation lasts from the blow until then.
func (m *nemesis) probe(ctx context.Context, dead int, blow time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	o := Op{Op: OpWrite, Node: m.cluster.nodes[dead].ID, Client: -1, Begin: blow, Result: Unknown}
	for turn := dead; o.Result != Done && ctx.Err() == nil; turn++ {
		i := turn % len(m.cluster.nodes)
		if i == dead {
			continue
		}
		attempt, stop := context.WithTimeout(ctx, time.Second)
		_, made := m.registry.create(attempt, m.cluster.nodes[i], -1)
		stop()
		if o.Result = made.Result; o.Result != Done {
			sleep(ctx, 20*time.Millisecond)
		}
	}
	o.End = m.history.Now()
	m.history.Add(o)
}

func (m *nemesis) named(targets []int) string {
	out := ""
	for _, i := range targets {
		out += " " + m.cluster.nodes[i].ID
	}
	return out[1:]
}

// sleep waits d and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
