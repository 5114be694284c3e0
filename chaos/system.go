package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// A SystemConfig is a test of what must never be lost: keys and deployments are
// written and read while leaders are killed, and the whole cluster.
type SystemConfig struct {
	Seed    int64
	Binary  string // the lotabots executable
	Nodes   int
	Ops     int // of the clients, answered, at least
	Kills   int // of the leader, by SIGKILL
	Outages int // SIGKILLs of every node at once
	Limits  Limits
	Out     io.Writer // progress; nil: none
}

// A SystemReport is what was found.
type SystemReport struct {
	Ops      int // of clients, answered; the last look is not among them
	Counts   map[string]int
	Failover []time.Duration // from each kill of a leader to the next acknowledged write
	Hashes   map[string]StateHash
	Verdicts []Verdict
	History  []Op
}

// Sound tells whether every promise held.
func (r *SystemReport) Sound() bool {
	return !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return len(v.Violations) > 0 })
}

// systemClients is how many clients there are at a time.
const systemClients = 8

// System runs the test on a cluster of its own. An error means that nothing
// could be judged.
func System(ctx context.Context, c SystemConfig) (*SystemReport, error) {
	whole, err := Config{Seed: c.Seed, Binary: c.Binary, Nodes: c.Nodes, Engine: "none", Faults: []Kind{Kill, Power}, Limits: c.Limits, Out: c.Out}.withDefaults()
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
	s := newSystem(c, whole, k)
	e := &Evidence{Limits: whole.Limits}
	if err := s.run(ctx); err != nil {
		e.Failed = err.Error()
	}
	report := &SystemReport{Ops: int(s.done.Load()), Hashes: s.hashes(ctx)}
	if left := k.stop(); left != nil {
		e.Left = left.Error()
	}
	if ctx.Err() != nil {
		k.remove()
		return nil, ctx.Err()
	}
	e.Ops = s.history.Ops()
	report.History, report.Counts = e.Ops, counts(e.Ops)
	for _, o := range of(e.Ops, OpWrite) {
		report.Failover = append(report.Failover, o.End-o.Begin)
	}
	report.Verdicts = []Verdict{checkRegistry(e), checkRegisters(e), checkKept(e), checkStates(report.Hashes), checkWritable(e), checkWhole(e), checkClean(e)}
	if report.Sound() {
		k.remove()
	} else {
		s.say("the cluster's directory is %s", k.dir)
	}
	return report, nil
}

func newSystem(c SystemConfig, whole Config, k *cluster) *system {
	s := &system{config: c, cluster: k, history: NewHistory(), say: func(format string, args ...any) { fmt.Fprintf(whole.Out, format+"\n", args...) }}
	s.registry = &registry{history: s.history, web: newHTTP()}
	s.nemesis = &nemesis{cluster: k, history: s.history, registry: s.registry, limits: whole.Limits, say: s.say}
	return s
}

// awaitUp returns once the cluster is whole and has all its voters.
func (s *system) awaitUp(ctx context.Context) error {
	if missing := s.cluster.awaitWhole(ctx, s.registry, 0, nil, s.nemesis.limits.Settle); missing != "" {
		return errors.New("the cluster does not come up: " + missing)
	}
	return s.awaitVoters(ctx)
}

// run kills while clients work, until both have had their share, and then reads
// everything once more on every node.
func (s *system) run(ctx context.Context) error {
	if err := s.awaitUp(ctx); err != nil {
		return err
	}
	loaded, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for i := range systemClients {
		clients.Go(func() { s.client(loaded, i) })
	}
	err := s.strike(ctx)
	for err == nil && s.done.Load() < int64(s.config.Ops) && sleep(ctx, 50*time.Millisecond) {
	}
	stop()
	clients.Wait()
	if err != nil {
		return err
	}
	s.say("%6.1fs  %d operations; looking at everything once more", s.history.Now().Seconds(), s.done.Load())
	return s.lookOnceMore(ctx)
}

// votersOf is how many of so many nodes vote.
func votersOf(nodes int) int {
	n := min(nodes, 5)
	return n - (n+1)%2
}

// awaitVoters waits until as many nodes vote as are to.
func (s *system) awaitVoters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		views, err := s.cluster.views(ctx, s.registry)
		voting := 0
		for _, v := range views {
			voting = max(voting, v.voting())
		}
		if err == nil && voting >= votersOf(len(s.cluster.nodes)) {
			return nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%d nodes vote after a minute (%w)", voting, errors.Join(err, ctx.Err()))
		}
	}
}

// strike kills leaders, and everybody at even intervals in between.
func (s *system) strike(ctx context.Context) error {
	blows := s.config.Kills + s.config.Outages
	for i, outages := 0, 0; i < blows && ctx.Err() == nil; i++ {
		for int(s.done.Load()) < s.config.Ops*i/(blows+1) && sleep(ctx, 20*time.Millisecond) { // evenly over the operations
		}
		random := s.random(-1 - i)
		if !sleep(ctx, time.Duration(300+random.IntN(700))*time.Millisecond) {
			break
		}
		f := Fault{Kind: Kill, Hold: time.Duration(200+random.IntN(1500)) * time.Millisecond}
		if (i+1)*s.config.Outages/blows > outages {
			outages++
			f.Kind = Power
		} else {
			leader, err := s.leader(ctx)
			if err != nil {
				return err
			}
			f.Node = leader
		}
		if err := s.nemesis.inflict(ctx, f); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// leader is the index of the node that leads, by what all say.
func (s *system) leader(ctx context.Context) (int, error) {
	views, err := s.cluster.views(ctx, s.registry)
	if err != nil {
		return 0, err
	}
	at := slices.IndexFunc(s.cluster.nodes, func(n node) bool { return n.ID == views[0].Leader })
	if at < 0 {
		return 0, fmt.Errorf("no leader is known: %q", views[0].Leader)
	}
	return at, nil
}

// hashes asks every node for the hash of its state, until they are of one index.
func (s *system) hashes(ctx context.Context) map[string]StateHash {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		out, indexes := map[string]StateHash{}, map[uint64]bool{}
		for _, n := range s.cluster.nodes {
			var h StateHash
			p := s.registry.call(ctx, n, n.key, http.MethodGet, "/admin/v1/state", nil, 0)
			if p.of() == Done {
				_ = json.Unmarshal(p.body, &h) // an empty hash is no hash
			}
			out[n.ID], indexes[h.Index] = h, true
		}
		if len(indexes) == 1 || !sleep(ctx, 100*time.Millisecond) {
			return out
		}
	}
}
