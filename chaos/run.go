package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Run makes a cluster, or takes the one that it is to attach to, breaks it by
// the seed's plan under load, and judges what was seen. The report is written
// where the configuration says. An error means that nothing could be judged;
// broken promises are in the report.
func Run(ctx context.Context, c Config) (*Report, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	say := func(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }
	mock, err := startMock()
	if err != nil {
		return nil, err
	}
	defer mock.close()
	say("starting ...")
	k, err := open(ctx, c, mock.url)
	if err != nil {
		return nil, err
	}
	r := &run{config: c, cluster: k, mock: mock, say: say, history: NewHistory(), began: time.Now()}
	r.registry = &registry{history: r.history, web: newHTTP()}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (the cluster's directory is %s)", err, k.dir), r.end())
	}
	r.load(ctx)
	left := r.end()
	if ctx.Err() != nil { // what was seen until then proves nothing
		k.remove()
		return nil, ctx.Err()
	}
	report := r.report(ctx, left)
	if report.Sound() {
		k.remove()
	} else {
		report.Cluster = k.dir
		r.saveLogs()
	}
	if c.Report != "" {
		err = report.Write(c.Report, r.history.Ops())
	}
	return report, err
}

func open(ctx context.Context, c Config, mockURL string) (*cluster, error) {
	if c.Attach != "" {
		return attach(c)
	}
	return startCluster(ctx, c, mockURL)
}

// A run is one run on its way.
type run struct {
	config   Config
	cluster  *cluster
	mock     *mockServer
	registry *registry
	history  *History
	workload *workload
	nemesis  *nemesis
	plan     []Fault
	begin    time.Duration // of the load, on the history's clock
	began    time.Time
	mocked   bool    // the mock engine is deployed
	failed   string  // why the run broke off
	written  written // nil: it is not known
	unread   string  // why it could not be read
	say      func(format string, args ...any)
}

// prepare deploys the mock engine, looks at the cluster while it is whole, and
// makes the plan.
func (r *run) prepare(ctx context.Context) error {
	err := r.cluster.deployMock(ctx, r.mock.url)
	switch {
	case err == nil:
		r.mocked = true
	case r.config.Attach == "":
		return err
	default: // its nodes may not allow the URL, which is their owner's to say
		r.say("going on without the mock engine: %v", err)
		_ = r.cluster.removeMock(ctx)
	}
	asks := r.cluster.questions(r.mocked)
	if len(asks) == 0 {
		return errors.New("no model to ask: the cluster has none, and the mock engine could not be deployed")
	}
	wanted, err := r.cluster.wanted(ctx, r.registry)
	if err != nil {
		return err
	}
	r.workload = &workload{cluster: r.cluster, history: r.history, registry: r.registry, web: newHTTP(), asks: asks, seed: r.config.Seed}
	r.nemesis = &nemesis{cluster: r.cluster, history: r.history, registry: r.registry, wanted: wanted, limits: r.config.Limits, say: r.say}
	r.plan = Plan(r.config.Seed, r.config.Duration, len(r.cluster.nodes), r.config.Faults)
	return nil
}

// load runs the clients for the set time, and until the last fault has ended,
// and then looks at everything once more.
func (r *run) load(ctx context.Context) {
	r.begin = r.history.Now()
	r.say("seed %d: %d faults in %v on %d nodes in %s", r.config.Seed, len(r.plan), r.config.Duration, len(r.cluster.nodes), r.cluster.dir)
	loaded, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	clients.Go(func() { r.workload.run(loaded) })
	if err := r.nemesis.run(ctx, r.begin, r.plan); err != nil {
		r.failed = err.Error()
	} else {
		sleep(ctx, r.begin+r.config.Duration-r.history.Now())
	}
	stop()
	clients.Wait()
	if l := r.cluster.links; l != nil {
		r.say("        the relays held back %d packets and connections; %d connections came from strangers", l.Dropped(), l.Strangers())
	}
	if ctx.Err() == nil && r.failed == "" {
		r.say("%6.1fs  looking at everything once more", r.history.Now().Seconds())
		r.workload.lookOnceMore(ctx)
		r.lookAtLedgers(ctx)
	}
}

// end leaves an attached cluster as it was, and stops one of the harness's own.
func (r *run) end() error {
	if r.cluster.dev == nil && r.mocked {
		return r.cluster.removeMock(context.Background())
	}
	return r.cluster.stop()
}

// report judges what was seen.
func (r *run) report(ctx context.Context, left error) *Report {
	ops := r.history.Ops()
	for i := range ops {
		if ops[i].Op != OpInfer {
			continue
		}
		ops[i].Recorded = r.written[ops[i].Request]
		if r.mocked && ops[i].Model == mockModel {
			seen := r.mock.engine.Seen(ops[i].Request)
			ops[i].Seen, ops[i].Finished = seen.Dispatched, seen.Finished
		}
	}
	r.history.replace(ops)
	e := &Evidence{Ops: ops, Limits: r.config.Limits, Mock: r.mocked, Failed: r.failed, Ledger: r.written != nil, Unread: r.unread}
	if left != nil {
		e.Left = left.Error()
	}
	return newReport(ctx, r, e)
}

// saveLogs puts the nodes' logs beside the report, for who looks into it.
func (r *run) saveLogs() {
	if r.config.Report == "" {
		return
	}
	for _, n := range r.cluster.nodes {
		raw, err := os.ReadFile(filepath.Join(n.Data, "node.log"))
		if err == nil && os.MkdirAll(r.config.Report, 0o755) == nil {
			_ = os.WriteFile(filepath.Join(r.config.Report, n.ID+".log"), raw, 0o644)
		}
	}
}
