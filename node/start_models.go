package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/cluster/blob"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/models"
	"github.com/lotabots/lotabots/storage/modelfile"
	"github.com/lotabots/lotabots/storage/state"
)

// startModels makes what brings model files here and keeps them.
func (n *Node) startModels() {
	n.transfers = blob.NewMetrics(n.metrics)
	n.pace.Set(int64(n.config.Models.FetchRate))
	n.models = blob.NewFetcher(n.port, n.blobs, n.holders, blob.Options{Dial: n.dialChunks, Log: n.log, Pace: &n.pace, Metrics: n.transfers})
	n.shelf = models.New(models.Config{
		Self: n.id, Store: n.blobs, Fetcher: n.models, View: n.modelsView, Options: n.modelsOptions, Client: n.port.Client("blob"),
		Others: n.others, Announce: n.makeKnown, Pace: &n.pace, Metrics: n.transfers, Log: n.log,
		Pulls: filepath.Join(n.layout.models(), "pulls.json"),
	})
	cancel := n.state.Subscribe(func(c state.Change) {
		if c.Reset || slices.ContainsFunc(c.Records, func(r state.Ref) bool { return placed(r) || r.Kind == state.KindSetting }) {
			n.shelf.Wake()
		}
	})
	n.onStop("models' view", func(context.Context) error { cancel(); return nil })
	n.background("models", n.shelf.Run)
}

// dialChunks opens a connection that chunks come by. A node of an older build does not
// serve it: it is asked by HTTP.
func (n *Node) dialChunks(ctx context.Context, id spec.NodeID) (net.Conn, error) {
	c, err := n.port.DialNode(ctx, blob.Proto, id)
	if errors.Is(err, transport.ErrNotServed) {
		return nil, fmt.Errorf("%w: %w", blob.ErrOlder, err)
	}
	return c, err
}

// serveBlobs is what other nodes ask of model files.
func (n *Node) serveBlobs() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /blob/", blob.Handler(n.blobs, n.state.Model, n.transfers))
	mux.Handle("/", n.shelf.Handler(mayCommandModels))
	return mux
}

// mayCommandModels holds commands to those that serve the admin API, or elect who leads.
func mayCommandModels(r *http.Request) error {
	p, ok := transport.PeerOf(r)
	if ok && (slices.Contains(p.Roles, spec.RoleGateway) || slices.Contains(p.Roles, spec.RoleVoter)) {
		return nil
	}
	return errNotGateway
}

func (n *Node) others() []spec.NodeID {
	var out []spec.NodeID
	for _, m := range n.gossip.Members() {
		if m.ID != n.id {
			out = append(out, m.ID)
		}
	}
	return out
}

// modelsOptions are the running configuration's.
func (n *Node) modelsOptions() models.Options {
	c := n.Running().Models
	o := models.Options{Disk: int64(c.Disk), Grace: c.Grace, Scrub: c.ScrubEvery, Rate: int64(c.VerifyRate), Pulls: c.PullURLs, Egress: egress.Policy{Cluster: n.ofCluster}}
	for _, text := range c.PullRanges {
		if r, err := netip.ParsePrefix(text); err == nil { // the configuration has been checked
			o.Egress.Ranges = append(o.Egress.Ranges, r.Masked())
		}
	}
	return o
}

// lastSeen remembers when members were alive, so that a restart moves no files.
type lastSeen struct {
	mu   sync.Mutex
	when map[string]time.Time
}

// counts tells whether a node counts as living: it is, or was not long ago.
func (l *lastSeen) counts(id string, alive bool, grace time.Duration, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.when == nil {
		l.when = map[string]time.Time{}
	}
	if _, known := l.when[id]; alive || !known { // at this node's start all count
		l.when[id] = now
	}
	return now.Sub(l.when[id]) < grace
}

// modelsView is what decides which files belong where.
func (n *Node) modelsView() models.View {
	v := models.View{Self: n.id, Models: n.state.Models(), Placed: map[string][]spec.NodeID{}, Fresh: n.stateAge() < freshEnough}
	value, _ := n.state.Setting(spec.SettingModelCopies)
	v.Copies, _ = spec.ModelCopies(value)
	var workers, voters []spec.NodeID
	for _, r := range n.state.Nodes() {
		id := spec.NodeID(r.GetId())
		if r.GetState() != wire.NodeState_NODE_STATE_ACTIVE || !n.seen.counts(r.GetId(), n.alive(id), n.Running().Placement.DeadGrace, time.Now()) {
			continue
		}
		switch {
		case hasRole(r, spec.RoleWorker):
			workers = append(workers, id)
		case hasRole(r, spec.RoleVoter):
			voters = append(voters, id)
		}
	}
	if v.Keepers = workers; len(workers) < v.Copies {
		v.Keepers = append(workers, voters...)
	}
	slices.Sort(v.Keepers)
	uses := map[string][]string{}
	for _, d := range n.state.Deployments() {
		uses[d.GetName()] = append(uses[d.GetName()], d.GetModel())
		for _, a := range d.GetAdapters() {
			uses[d.GetName()] = append(uses[d.GetName()], a.GetModel())
		}
	}
	for _, p := range n.state.Placements() {
		for _, model := range uses[p.GetDeployment()] {
			v.Placed[model] = append(v.Placed[model], spec.NodeID(p.GetNode()))
		}
	}
	return v
}

// Import stores a model's file on this node and makes it known: other nodes
// fetch it from here when they are to have it.
func (n *Node) Import(ctx context.Context, name string, r io.Reader) (*wire.Model, error) {
	defer n.shelf.Hold()()
	return n.imported(ctx)(n.blobs.Import(name, n.counted(r)))
}

// ImportFolder does the same with the files of a tar.
func (n *Node) ImportFolder(ctx context.Context, name string, r io.Reader) (*wire.Model, error) {
	defer n.shelf.Hold()()
	return n.imported(ctx)(n.blobs.ImportFolder(name, n.counted(r)))
}

func (n *Node) imported(ctx context.Context) func(m *wire.Model, err error) (*wire.Model, error) {
	return func(m *wire.Model, err error) (*wire.Model, error) {
		if err == nil {
			err = n.makeKnown(ctx, m)
		}
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

// modelFiles is what the admin API does with model files.
type modelFiles struct{ *Node }

func (f modelFiles) Homes(name string) (homes []string) {
	v := f.modelsView()
	for _, m := range v.Models {
		if m.GetName() == name {
			for _, id := range models.Homes(v, m) {
				homes = append(homes, string(id))
			}
		}
	}
	return homes
}

func (f modelFiles) Copies(ctx context.Context) []gateway.NodeStorage  { return f.shelf.Reports(ctx) }
func (f modelFiles) Storage(ctx context.Context) []gateway.NodeStorage { return f.shelf.Storage(ctx) }
func (f modelFiles) Collect(ctx context.Context) []gateway.NodeStorage {
	return f.shelf.CollectAll(ctx)
}
func (f modelFiles) CancelPull(ctx context.Context, name string) error {
	return f.shelf.CancelPull(ctx, name)
}

func (f modelFiles) Verify(ctx context.Context, name string) ([]gateway.ModelCheck, error) {
	return f.shelf.Verify(ctx, name)
}

func (f modelFiles) Pull(ctx context.Context, name, url, digest string) (gateway.ModelTransfer, error) {
	return f.shelf.Pull(ctx, name, url, digest)
}

// makeKnown makes a model that is here known to the cluster.
func (n *Node) makeKnown(ctx context.Context, m *wire.Model) error {
	if path, ok := n.blobs.Path(m.Digest); ok {
		var err error
		if m.Shape, err = modelfile.Read(path); err != nil {
			n.log.Warn("a model's memory cannot be estimated from its file", "model", m.Name, "error", err)
		}
	}
	m.ImportedMs, m.ImportedOn = time.Now().UnixMilli(), string(n.id)
	return n.write(ctx, &wire.Command{Body: &wire.Command_PutModel{PutModel: &wire.PutModel{Model: m}}})
}

// counted counts what clients send.
func (n *Node) counted(r io.Reader) io.Reader { return countedReader{r, n.transfers} }

type countedReader struct {
	r  io.Reader
	to *blob.Metrics
}

func (c countedReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.to.In(blob.PeerClient, n)
	return n, err
}
