package chaos

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// An AccessConfig is a test of who is let in: keys, roles and sessions are made,
// changed and taken away while nodes are killed, stopped and cut off.
type AccessConfig struct {
	Seed     int64
	Binary   string // the lotabots executable
	Nodes    int
	Duration time.Duration // of the load, which ends with the fault that is on then
	MaxAge   time.Duration // the tenant's auth_max_age, in whole seconds
	Limits   Limits
	Env      []string // added to the environment of the cluster's processes
	Out      io.Writer
}

// An AccessReport is what was found.
type AccessReport struct {
	Counts   map[string]int // uses and operations, by what they were done to and their results
	Hashes   map[string]StateHash
	Verdicts []Verdict
	History  []Op
	Cluster  string // its directory, kept because something was broken
}

// Sound tells whether every promise held.
func (r *AccessReport) Sound() bool {
	return !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return len(v.Violations) > 0 })
}

// Verdict returns what the check found.
func (r *AccessReport) Verdict(check string) Verdict {
	return (&Report{Verdicts: r.Verdicts}).Verdict(check)
}

const (
	accessTenant  = "acme"
	accessClients = 8
)

// Access runs the test on a cluster of its own. An error means that nothing could
// be judged.
func Access(ctx context.Context, c AccessConfig) (*AccessReport, error) {
	whole, err := Config{Seed: c.Seed, Binary: c.Binary, Nodes: c.Nodes, Engine: "none", Faults: []Kind{Kill, Stop, Cut}, Limits: c.Limits, Env: c.Env, Out: c.Out}.withDefaults()
	if err != nil {
		return nil, err
	}
	if c.MaxAge < time.Second || c.MaxAge%time.Second != 0 {
		return nil, fmt.Errorf("auth_max_age %v: want whole seconds", c.MaxAge)
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
	a := &accessRun{system: newSystem(SystemConfig{Seed: c.Seed}, whole, k), access: c}
	a.nemesis.before = a.burst
	e := &Evidence{Limits: whole.Limits, MaxAge: c.MaxAge}
	if err := a.run(ctx); err != nil {
		e.Failed = err.Error()
	}
	report := &AccessReport{Hashes: a.hashes(ctx)}
	if left := k.stop(); left != nil {
		e.Left = left.Error()
	}
	if ctx.Err() != nil {
		k.remove()
		return nil, ctx.Err()
	}
	e.Ops = a.history.Ops()
	report.History, report.Counts = e.Ops, accessCounts(e.Ops)
	report.Verdicts = []Verdict{checkAccess(e), checkRegisters(e), checkShut(e), checkCutOff(e), checkStates(report.Hashes), checkWritable(e), checkWhole(e), checkClean(e)}
	if report.Sound() {
		k.remove()
	} else {
		report.Cluster = k.dir
	}
	return report, nil
}

// accessCounts counts what was done to what, with which result.
func accessCounts(ops []Op) map[string]int {
	out := map[string]int{}
	for _, o := range ops {
		if o.What != "" || o.Op == OpHeld {
			out[strings.TrimSpace(o.Op+" "+o.What+string(o.Kind)+": "+o.Result)]++
		}
	}
	return out
}

// run loads the cluster and breaks it for the set time, and then looks at
// everything once more.
func (a *accessRun) run(ctx context.Context) error {
	if err := a.awaitUp(ctx); err != nil {
		return err
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	loaded, stop := context.WithCancel(ctx)
	defer stop()
	var load sync.WaitGroup
	for i := range accessClients {
		load.Go(func() { a.client(loaded, i) })
	}
	for i := range a.cluster.nodes {
		for j := range watchers {
			load.Go(func() { a.watch(loaded, i, accessClients+i*watchers+j) })
		}
	}
	err := a.strikes(ctx)
	sleep(ctx, quiet)
	stop()
	load.Wait()
	a.bursts.Wait()
	if err != nil {
		return err
	}
	a.say("%6.1fs  looking at everything once more", a.history.Now().Seconds())
	a.lookAgain(ctx)
	return ctx.Err()
}

// strikes breaks one node after the other. Every other one leads.
func (a *accessRun) strikes(ctx context.Context) error {
	begin := a.history.Now()
	for i, f := range AccessPlan(a.access.Seed, a.access.Duration, len(a.cluster.nodes), a.access.MaxAge) {
		if !sleep(ctx, begin+f.At-a.history.Now()) || a.history.Now() > begin+a.access.Duration {
			break
		}
		if i%2 == 0 {
			leader, err := a.leader(ctx)
			if err != nil {
				return err
			}
			f.Node = leader
		}
		if err := a.nemesis.inflict(ctx, f); err != nil {
			return err
		}
	}
	return ctx.Err()
}
