package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors"
	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/blob"
	"github.com/lotabots/lotabots/cluster/feed"
	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/infer"
	"github.com/lotabots/lotabots/cluster/join"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// ShimCommand is the command of this executable that holds an engine; see actors/shim.
const ShimCommand = "engine-shim"

// startActors runs what the node has to run models on. A voter without devices
// has actors too: as the leader it commands those of others.
func (n *Node) startActors(context.Context) error {
	n.infer, n.lines = infer.NewClient(n.port), infer.NewLines()
	n.talk = n.infer.Talk(n.grantedBy)
	n.onStop("talk with actors", n.talk.Shutdown)
	n.census = &census{nodes: n.state.Nodes, needs: n.state.Needs}
	n.quotas = n.newKeeper()
	n.startModels()
	if !n.has(spec.RoleWorker) && !n.has(spec.RoleVoter) {
		return nil
	}
	if err := os.MkdirAll(n.layout.engines(), 0o700); err != nil {
		return err
	}
	user, err := n.engineUser()
	if err != nil {
		return err
	}
	devices := actors.Devices{Kind: "none"}
	if n.has(spec.RoleWorker) {
		d := n.config.Devices
		devices = actors.Devices{Kind: d.Kind, Simulated: d.Simulated, MemoryMB: d.MemoryMB, FaultFile: d.FaultFile}
	}
	if n.has(spec.RoleWorker) {
		n.notes.expect()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n.actors, err = actors.Start(actors.Config{
		Node: n.id, Region: n.config.Node.Region, Boot: n.boot, Address: n.port.Addr(),
		ServerTLS: n.port.ServerTLS("actor"), ClientTLS: func() *tls.Config { return n.port.ClientTLS("actor", "") },
		Dial: n.port.Connect, RemoteAddr: n.addressOf, Splice: func(loopback string) { n.port.Splice("actor", loopback) },
		BlobPath: n.modelPath, Revoked: n.revoked, Digest: n.spread, Granted: n.granted, Devices: devices,
		Engines: actors.Engines{
			Helper: n.config.Engines.Helper, Libraries: n.config.Engines.Libraries, Ollama: n.config.Engines.Ollama,
			VLLM: n.config.Engines.VLLM, SGLang: n.config.Engines.SGLang, Triton: n.config.Engines.Triton, Models: n.config.Engines.Models, Presets: n.config.Engines.Presets,
			LlamaServer: n.config.Engines.LlamaServer, ExternalURLs: n.config.Engines.ExternalURL, Egress: n.egress(),
			Shim: []string{self, ShimCommand}, Linger: n.config.Engines.Linger, User: user,
		},
		AnswerBytes: n.config.Devices.Answers,
		RunDir:      n.layout.engines(), Faults: n.layout.faults(), Learnt: n.layout.learnt(), Log: n.log,
		Quota: quota.Config{Now: n.clock, Spent: n.state.Budget, Lost: n.quotas.Lost, Changed: n.quotas.Changed}, Registerer: n.metrics,
	})
	if err != nil {
		return err
	}
	n.workers.Store(n.actors)
	n.keepAnswers()
	if n.has(spec.RoleWorker) {
		n.notes.own = n.note
		n.notes.look()
	}
	n.onStop("actors", n.actors.Shutdown)
	n.keepQuotas()
	return nil
}

// holders are the nodes to ask for a model: every living one, this region's first.
func (n *Node) holders() []spec.NodeID {
	var near, far []spec.NodeID
	for _, m := range n.gossip.Members() {
		switch {
		case m.ID == n.id:
		case m.Region == n.config.Node.Region:
			near = append(near, m.ID)
		default:
			far = append(far, m.ID)
		}
	}
	return append(near, far...)
}

// revoked tells whether this node's own copy of the state has the key, or the
// session, ended: whatever the gateway knew, the serving node asks again.
func (n *Node) revoked(credential string) bool {
	if id, ok := strings.CutPrefix(credential, sessionCredential); ok {
		return sessionEnded(n.state, id, time.Now())
	}
	return n.revocations.revoked(credential, time.Now())
}

// serveCluster answers what other nodes ask.
func (n *Node) serveCluster(context.Context) error {
	signer := join.NewServer(n.joinConfig())
	mux := http.NewServeMux()
	mux.Handle("GET /feed", feed.Handler(n.state, feed.WithAge(n.stateAge)))
	mux.HandleFunc("GET /applied", n.serveApplied)
	mux.HandleFunc("POST /reload", n.serveReload)
	mux.HandleFunc("POST /usage-records", n.serveRecords)
	mux.HandleFunc("GET /hash", n.hashes.serve)
	mux.HandleFunc("GET /note", n.serveNote)
	mux.HandleFunc("GET /cache", n.serveCaches)
	mux.Handle("/join-forward", signer.Handler())
	mux.Handle("/renew", signer.Handler())
	if n.raft != nil {
		mux.Handle("POST /propose", n.raft.Handler())
		mux.Handle("GET /read-index", n.raft.Handler())
		mux.Handle("GET /leader", n.raft.Handler())
		mux.HandleFunc("GET /lacking", n.serveLacking)
		mux.HandleFunc("GET /scaling", n.serveScaling)
	}
	n.startSessions(mux)
	n.port.Handle("join", n.withEpoch(signer.Handler()))
	n.port.Handle("state", inTime(mux))
	n.port.Handle("blob", n.serveBlobs())
	chunks := n.port.Listener(blob.Proto)
	n.background("chunks", func(ctx context.Context) { blob.NewServer(n.blobs, n.state.Model, n.transfers).Serve(ctx, chunks) })
	if n.actors != nil {
		n.port.Handle("infer", infer.Handler(n.actors.Opener(), infer.Config{
			Reserve: n.actors.Reserve, Lines: n.lines, Quota: n.quotas.Grant, Peer: peerOf, May: mayInfer, Log: n.log, Registerer: n.metrics,
		}))
	}
	return nil
}

// spread tells everybody who routes how loaded this node's devices are.
func (n *Node) spread(d *wire.LoadDigest) {
	d.Note = n.notes.hash()
	n.take(d)
	raw, err := proto.Marshal(d)
	if err != nil {
		n.log.Error("a load digest cannot be encoded", "error", err)
		return
	}
	for _, m := range n.gossip.Members() {
		if m.ID == n.id || !routes(m) {
			continue
		}
		if err := n.gossip.SendDigest(m.ID, raw); err != nil {
			n.log.Debug("a load digest was not sent", "to", m.ID, "error", err) // the next follows within a second
		}
	}
}

// routes tells whether the member wants digests: gateways route by them, voters place by them.
func routes(m gossip.Member) bool {
	for _, r := range m.Roles {
		if r == spec.RoleGateway || r == spec.RoleVoter {
			return true
		}
	}
	return false
}

// take brings a digest to those on this node who go by it.
func (n *Node) take(d *wire.LoadDigest) {
	d = n.joints.whole(d)
	n.observed.observe(d)
	n.demands.heard(d, time.Now())
	n.notes.heard(spec.NodeID(d.GetNode()), d.GetNote())
	if g := n.routing.Load(); g != nil {
		g.Table().Observe(d, time.Now())
	}
}

func (n *Node) onDigest(from spec.NodeID, raw []byte) {
	d := &wire.LoadDigest{}
	if err := proto.Unmarshal(raw, d); err != nil || d.GetNode() != string(from) {
		n.log.Warn("a load digest was dropped: it does not parse or speaks for another node", "from", from, "claims", d.GetNode())
		return
	}
	n.take(d)
}

// onMember follows who is alive.
func (n *Node) onMember(e gossip.Event) {
	n.log.Info("member", "peer", e.Member.ID, "up", e.Up, "region", e.Member.Region)
	if e.Up {
		n.introduce(e.Member)
		return
	}
	n.observed.forget(e.Member.ID)
	n.demands.forget(e.Member.ID)
	n.notes.forget(e.Member.ID)
	n.joints.forget(e.Member.ID)
	n.port.Drop(e.Member.ID)
	if g := n.routing.Load(); g != nil {
		g.Table().NodeGone(e.Member.ID)
	}
	if a := n.workers.Load(); a != nil {
		a.MemberDown(e.Member.ID)
	}
}

// modelPath finds the file of the model to load, and fetches it from the other
// nodes where this one lacks it or has it damaged. Nothing is loaded that was not held
// against the digest that was placed: a fetch goes by the record's chunks.
func (n *Node) modelPath(ctx context.Context, load *wire.LoadModel, told func(part float64)) (string, error) {
	m, ok := n.state.Model(load.GetModel())
	path, lacking := n.blobs.Verified(ctx, load.GetDigest(), m)
	switch {
	case lacking == nil:
		return path, nil
	case spec.CodeOf(lacking) == spec.CodeModelDamaged:
		n.log.Error("a model on this node's disk is damaged", "model", load.GetModel(), "error", lacking)
	case !errors.Is(lacking, fs.ErrNotExist):
		return "", lacking
	}
	if !ok || string(m.GetDigest()) != string(load.GetDigest()) {
		return "", spec.Errorf(spec.CodeModelNotFound, "the state has no model %q with the digest that was placed", load.GetModel())
	}
	_, err := n.models.Fetch(ctx, m, told)
	switch {
	case err == nil:
		return n.blobs.Verified(ctx, load.GetDigest(), m)
	case errors.Is(lacking, fs.ErrNotExist):
		return "", fmt.Errorf("fetching model %s: %w", m.GetName(), err)
	}
	return "", errors.Join(lacking, err)
}
