package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lotabots/lotabots/actors"
	"github.com/lotabots/lotabots/cluster/blob"
	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/feed"
	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/infer"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/reconcile"
	"github.com/lotabots/lotabots/cluster/session"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/certificate"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/node/models"
	"github.com/lotabots/lotabots/node/quotas"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/blobs"
	"github.com/lotabots/lotabots/storage/snapshot"
	"github.com/lotabots/lotabots/storage/state"
	"github.com/lotabots/lotabots/storage/usage"
)

// FeatureLevel is what this build can apply. It rises when a command, or a field of
// one, is added that an older build could not apply.
const FeatureLevel = wire.Level

// A Node is one running process of the cluster. Its parts are set once, by
// Start, in the order in which the fields stand; a role that the node lacks
// leaves its part nil.
type Node struct {
	config      config.Config // as it was at the start; see Running
	live        live
	id          spec.NodeID
	version     string
	boot        uint64 // Unix ms of this start
	layout      layout
	member      membership
	log         *slog.Logger
	metrics     *prometheus.Registry
	work        context.Context // ends when Shutdown begins to take parts down
	grace       time.Time       // that requests under way have until; of Shutdown
	abandon     context.CancelFunc
	observed    *observed
	demands     *demands
	notes       *notes
	joints      *joints
	revocations *revocations
	removals    removals

	disk      storage.FS       // nil: the machine's, and else a test's
	clock     func() time.Time // of budgets' periods; nil: the machine's, and else a test's
	db        *storage.DB
	state     *state.Store
	blobs     *blobs.Store
	identity  *pki.Identity
	port      *transport.Port
	gossip    *gossip.Gossip
	raft      *consensus.Consensus // voters
	taken     *snapshot.Store      // Raft's snapshots; voters
	proposer  gateway.Proposer
	reads     readIndexer   // the same part as proposer
	group     group         // and this too
	calm      time.Duration // see consensus.Config; 0 but in tests
	hashes    *hashes
	follower  *feed.Follower // nodes that are no Raft servers
	infer     *infer.Client
	talk      *infer.Talk  // of the gateway with other nodes' actors
	lines     *infer.Lines // of other nodes' gateways with this node's actors
	models    *blob.Fetcher
	transfers *blob.Metrics
	shelf     *models.Keeper
	seen      lastSeen
	pace      blob.Pace // of fetches
	census    *census
	quotas    *quotas.Keeper
	actors    *actors.System  // workers, and voters, who may have to command them
	sessions  *session.Server // voters
	gateway   *gateway.Gateway
	loop      *reconcile.Reconciler // voters

	// What callbacks of parts that start earlier reach of those that start later.
	routing atomic.Pointer[gateway.Gateway]
	ledger  atomic.Pointer[usage.Ledger] // of this gateway
	// certificate is the API's; nil: it has none.
	certificate atomic.Pointer[certificate.Keeper]
	workers     atomic.Pointer[actors.System]
	spareFeed   atomic.Pointer[feed.Follower] // while a voter is no Raft server

	ready readiness
	ended halted
	stops []stop // in the order of starting
}

// A stop takes one part down.
type stop struct {
	name string
	fn   func(context.Context) error
}

func (n *Node) onStop(name string, fn func(context.Context) error) {
	n.stops = append(n.stops, stop{name, fn})
}

// Start runs the member whose data directory the configuration names. The order
// is that of need: what lasts, who we are, whom we can reach, what is agreed,
// what we run, and only then what we promise to clients.
func Start(ctx context.Context, c config.Config, version string, logs io.Writer, options ...Option) (*Node, error) {
	n := &Node{
		config: c, id: spec.NodeID(c.Node.ID), version: version, boot: uint64(time.Now().UnixMilli()),
		layout: layout{c.Node.Data}, metrics: prometheus.NewRegistry(), observed: newObserved(time.Now), demands: newDemands(), notes: newNotes(spec.NodeID(c.Node.ID)), joints: newJoints(), revocations: newRevocations(),
	}
	n.live.turn.Lock() // a reload waits until every part is there
	defer n.live.turn.Unlock()
	n.live.begin(c, n.layout)
	n.log = newLogger(logs, c, &n.live.level)
	for _, o := range options {
		o(n)
	}
	n.ended.done = make(chan struct{})
	n.work, n.abandon = context.WithCancel(context.Background())
	n.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.metrics.MustRegister(pool.Collectors()...)
	began := time.Now()
	for _, step := range []struct {
		name string
		fn   func(context.Context) error
	}{
		{"telemetry", n.startTelemetry},
		{"storage", n.openStorage},
		{"cluster port", n.openPort},
		{"gossip", n.startGossip},
		{"consensus", n.startConsensus},
		{"actors", n.startActors},
		{"comparison of states", n.startHashes},
		{"cluster protocols", n.serveCluster},
		{"gateway", n.startGateway},
		{"reconciler", n.startReconciler},
		{"notes", n.startNotes},
		{"backups", n.startBackups},
		{"upkeep", n.startUpkeep},
	} {
		if err := step.fn(ctx); err != nil {
			closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			return nil, errors.Join(fmt.Errorf("starting the %s: %w", step.name, err), n.stopAll(closing))
		}
	}
	n.log.Info("node runs", "version", version, "region", c.Node.Region, "roles", c.Node.Roles,
		"cluster", n.port.Addr(), "api", c.API.Listen, "devices", n.deviceCount(), "took", time.Since(began))
	return n, nil
}

// Shutdown drains the node, waits up to api.shutdown-timeout for the requests
// under way, tells the others that it leaves, and takes every part down.
func (n *Node) Shutdown(ctx context.Context) error {
	began := time.Now()
	n.log.Info("shutting down")
	n.withdraw(ctx)
	err := n.stopAll(ctx)
	n.log.Info("node has ended", "took", time.Since(began), "error", err)
	return err
}

// withdraw makes the others stop to count on this node, before it goes.
func (n *Node) withdraw(ctx context.Context) {
	if n.gateway != nil {
		n.gateway.StartDrain()
	}
	if n.actors != nil {
		n.actors.DrainAll(ctx)
	}
	n.notice(ctx)
	if n.raft != nil && n.raft.IsLeader() {
		handing, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if err := n.raft.TransferLeadership(handing); err != nil {
			n.log.Warn("leadership was not handed over", "error", err)
		}
	}
	n.grace = time.Now().Add(n.Running().API.ShutdownIn)
	limit, cancel := context.WithDeadline(ctx, n.grace)
	defer cancel()
	for n.actors != nil && n.actors.Running() > 0 && limit.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// notice gives load balancers the time to see that the gateway is not ready.
func (n *Node) notice(ctx context.Context) {
	if n.gateway == nil || n.config.API.DrainNotice == 0 {
		return
	}
	select {
	case <-time.After(n.config.API.DrainNotice):
	case <-ctx.Done():
	}
}

// leastGrace is what a gateway's requests have at least: what ends them by itself must not
// be told as an error.
const leastGrace = 200 * time.Millisecond

// endGateway ends the gateway once its requests have ended, or with the time for them, so
// that what comes after it has its own: those that remain are told so.
func (n *Node) endGateway(ctx context.Context) error {
	limit := ctx
	if !n.grace.IsZero() {
		by, cancel := context.WithDeadline(ctx, spec.Later(n.grace, time.Now().Add(leastGrace)))
		defer cancel()
		limit = by
	}
	err := n.gateway.Shutdown(limit)
	if limit.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		n.log.Warn("requests were ended, with an error that says so: api.shutdown-timeout was over", "error", err)
		return nil
	}
	return err
}

func (n *Node) stopAll(ctx context.Context) error {
	n.abandon()
	select {
	case <-n.Halted(): // it is no member any more, or must not go on: nobody comes after it
	default:
		if n.actors != nil {
			n.actors.LeaveEngines()
		}
	}
	var failed []error
	for _, s := range slices.Backward(n.stops) {
		if err := s.fn(ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	n.stops = nil
	return errors.Join(failed...)
}

func (n *Node) has(r spec.Role) bool { return slices.Contains(n.config.Node.Roles, string(r)) }

func (n *Node) deviceCount() int {
	if n.actors == nil {
		return 0
	}
	return len(n.actors.Devices())
}

// background runs fn until the node stops, and is waited for.
func (n *Node) background(name string, fn func(context.Context)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(n.work)
	}()
	n.onStop(name, func(ctx context.Context) error {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}
