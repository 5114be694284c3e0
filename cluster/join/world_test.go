package join

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agreed is the state of a cluster whose nodes all see the newest at once. It
// knows the commands of this package, with the semantics of wire's comments.
type agreed struct {
	mu      sync.Mutex
	tokens  map[string]*wire.JoinToken
	nodes   map[string]*wire.Node
	secrets map[string]*wire.Secret
	answers map[string]*wire.Result
	needs   uint64
	// before may fail a proposal or change the state first; after may lose the answer.
	before, after func(*wire.Command) error
}

func (a *agreed) Secret(name string) (*wire.Secret, bool) { return read(a, a.secrets, name) }
func (a *agreed) Token(id string) (*wire.JoinToken, bool) { return read(a, a.tokens, id) }
func (a *agreed) Node(id string) (*wire.Node, bool)       { return read(a, a.nodes, id) }

func (a *agreed) Needs() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.needs
}

func read[T any](a *agreed, from map[string]T, key string) (T, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := from[key]
	return v, ok
}

func (a *agreed) Nodes() []*wire.Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*wire.Node
	for _, id := range slices.Sorted(maps.Keys(a.nodes)) {
		out = append(out, a.nodes[id])
	}
	return out
}

func (a *agreed) propose(_ context.Context, c *wire.Command) (*wire.Result, error) {
	if a.before != nil {
		if err := a.before(c); err != nil {
			return nil, err
		}
	}
	result := a.apply(proto.CloneOf(c))
	if a.after != nil {
		if err := a.after(c); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (a *agreed) apply(c *wire.Command) *wire.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first, ok := a.answers[c.RequestId]; ok && c.RequestId != "" {
		again := proto.CloneOf(first)
		again.Replayed = true
		return again
	}
	r := &wire.Result{}
	switch b := c.Body.(type) {
	case *wire.Command_PutNode:
		r.Code = string(a.putNode(b.PutNode.Node))
	case *wire.Command_UseToken:
		r.Code = string(a.useToken(b.UseToken.Id, c.AtMs))
	case *wire.Command_PutSecret:
		if a.secrets[b.PutSecret.Secret.Name].GetVersion() != b.PutSecret.ExpectVersion {
			r.Code = string(spec.CodeConflict)
			break
		}
		b.PutSecret.Secret.Version = b.PutSecret.ExpectVersion + 1
		a.secrets[b.PutSecret.Secret.Name] = b.PutSecret.Secret
	default:
		panic("the package proposes another command")
	}
	a.answers[c.RequestId] = r
	return proto.CloneOf(r)
}

func (a *agreed) putNode(n *wire.Node) spec.Code {
	old := a.nodes[n.Id]
	if old.GetState() == wire.NodeState_NODE_STATE_REMOVED && n.JoinedMs <= old.GetJoinedMs() {
		return spec.CodeNodeRemoved
	}
	if n.State == wire.NodeState_NODE_STATE_UNSPECIFIED {
		n.State = old.GetState()
	}
	a.nodes[n.Id] = n
	return ""
}

func (a *agreed) useToken(id string, at int64) spec.Code {
	t := a.tokens[id]
	switch {
	case t == nil:
		return spec.CodeTokenInvalid
	case t.RevokedMs != 0:
		return spec.CodeTokenRevoked
	case t.ExpiresMs <= at:
		return spec.CodeTokenExpired
	case t.UsesLeft == 0:
		return spec.CodeTokenExhausted
	}
	next := proto.CloneOf(t)
	next.UsesLeft--
	a.tokens[id] = next
	return ""
}

func (a *agreed) setState(id string, s wire.NodeState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := proto.CloneOf(a.nodes[id])
	next.State = s
	a.nodes[id] = next
}

// A world is a cluster: the first voter has founded it.
type world struct {
	t         *testing.T
	state     *agreed
	authority *pki.Authority
	mu        sync.Mutex
	now       time.Time
	addresses map[spec.NodeID]string
	members   map[spec.NodeID]*member
}

// A member is a node with its port and its join server.
type member struct {
	id       spec.NodeID
	identity *pki.Identity
	dir      string
	port     *transport.Port
	barrier  error // what Barrier answers
	asked    []string
	mu       sync.Mutex
}

const cluster = "lb-test"

var gossipKey = []byte("0123456789abcdef0123456789abcdef")

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Now(), addresses: map[spec.NodeID]string{}, members: map[spec.NodeID]*member{},
		state: &agreed{tokens: map[string]*wire.JoinToken{}, nodes: map[string]*wire.Node{}, secrets: map[string]*wire.Secret{}, answers: map[string]*wire.Result{}},
	}
	var err error
	if w.authority, err = pki.NewAuthority(cluster, w.clock); err != nil {
		t.Fatal(err)
	}
	m := w.newcomer("v1")
	csr, err := m.identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	roles := []spec.Role{spec.RoleVoter, spec.RoleWorker, spec.RoleGateway}
	der, err := w.authority.Sign(csr, pki.SignRequest{ID: "v1", Roles: roles, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.identity.Install(der, w.authority.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	sealed, err := pki.Seal("ca", w.authority.MarshalKey(), map[string][]byte{"v1": m.identity.SealPublic()})
	if err != nil {
		t.Fatal(err)
	}
	sealed.Public, sealed.Version = w.authority.Cert.Raw, 1
	w.state.secrets["ca"] = sealed
	w.open(m)
	leaf := m.identity.Leaf()
	w.state.nodes["v1"] = &wire.Node{
		Id: "v1", Roles: []string{"voter", "worker", "gateway"}, ClusterAddr: m.port.Addr(), State: wire.NodeState_NODE_STATE_ACTIVE,
		CertSerial: leaf.SerialNumber.Text(16), CertExpiresMs: leaf.NotAfter.UnixMilli(), SealKey: m.identity.SealPublic(), JoinedMs: w.now.UnixMilli(),
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// newcomer is a machine with keys and nothing else.
func (w *world) newcomer(id spec.NodeID) *member {
	w.t.Helper()
	dir := w.t.TempDir()
	i, err := pki.CreateIdentity(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return &member{id: id, identity: i, dir: dir}
}

// open starts the port of a member, with join and state served as node/ does.
func (w *world) open(m *member) {
	w.t.Helper()
	var err error
	m.port, err = transport.Listen(transport.Config{
		Listen: "127.0.0.1:0", Identity: m.identity, Resolve: w.resolve, Admit: w.admit, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := m.port.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.mu.Lock()
	w.addresses[m.id], w.members[m.id] = m.port.Addr(), m
	w.mu.Unlock()
	h := NewServer(w.config(m)).Handler()
	noted := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.asked = append(m.asked, r.Method+" "+r.URL.Path)
		m.mu.Unlock()
		h.ServeHTTP(rw, r)
	})
	m.port.Handle("join", noted)
	m.port.Handle("state", noted)
}

func (w *world) config(m *member) Config {
	return Config{
		Cluster: cluster, GossipKey: gossipKey, Identity: m.identity, Self: m.id, State: w.state, Propose: w.state.propose,
		Barrier: func(context.Context) error { m.mu.Lock(); defer m.mu.Unlock(); return m.barrier },
		Client:  m.port.Client,
		Voters: func() []spec.NodeID {
			var out []spec.NodeID
			for _, n := range w.state.Nodes() {
				if n.Id != string(m.id) && slices.Contains(n.Roles, "voter") {
					out = append(out, spec.NodeID(n.Id))
				}
			}
			return out
		},
		Peer: func(r *http.Request) (spec.NodeID, []spec.Role, bool) {
			p, ok := transport.PeerOf(r)
			return p.ID, p.Roles, ok
		},
		SecretName: "ca", TTL: time.Hour, Clock: w.clock,
	}
}

func (w *world) resolve(id spec.NodeID) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.addresses[id]
	return a, ok
}

func (w *world) admit(p transport.Peer, proto string) error {
	r, known := w.state.Node(string(p.ID))
	if known && r.GetState() == wire.NodeState_NODE_STATE_REMOVED || p.Expired && (!known || proto != "state") {
		return errors.New("no member any more")
	}
	return nil
}

func (w *world) token(role spec.Role, uses int) string {
	w.t.Helper()
	text, record, err := pki.NewToken(role, time.Hour, uses, w.authority.Cert.Raw, w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.state.mu.Lock()
	defer w.state.mu.Unlock()
	w.state.tokens[record.Id] = record
	return text
}

func (w *world) changeToken(text string, change func(*wire.JoinToken)) {
	w.t.Helper()
	parsed, err := pki.ParseToken(text)
	if err != nil {
		w.t.Fatal(err)
	}
	w.state.mu.Lock()
	defer w.state.mu.Unlock()
	change(w.state.tokens[parsed.ID])
}

// ask sends the newcomer's request to the port of seed.
func (w *world) ask(m *member, seed spec.NodeID, token string, roles ...string) (*wire.JoinResponse, error) {
	w.t.Helper()
	at, _ := w.resolve(seed)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return Request(ctx, RequestConfig{Seed: at, Token: token, Identity: m.identity, Clock: w.clock, Member: &wire.Member{
		Id: string(m.id), Roles: roles, Region: "north", ClusterAddr: "127.0.0.1:7946", SealKey: m.identity.SealPublic(), Build: "test", Level: 1,
	}})
}

// join takes a node in, opens its port, and gives its record the port's address.
func (w *world) join(id spec.NodeID, token spec.Role, roles ...string) *member {
	w.t.Helper()
	m := w.newcomer(id)
	resp, err := w.ask(m, "v1", w.token(token, 1), roles...)
	if err != nil || resp.GetCode() != "" {
		w.t.Fatalf("node %s: %v %s %s", id, err, resp.GetCode(), resp.GetMessage())
	}
	if err := m.identity.Install(resp.Certificate, resp.Authority); err != nil {
		w.t.Fatal(err)
	}
	w.open(m)
	w.state.mu.Lock()
	defer w.state.mu.Unlock()
	next := proto.CloneOf(w.state.nodes[string(id)])
	next.ClusterAddr = m.port.Addr()
	w.state.nodes[string(id)] = next
	return m
}

// refused checks that an answer or an error has the code.
func refused(t *testing.T, what string, want spec.Code, resp *wire.JoinResponse, err error) {
	t.Helper()
	got := spec.Code(resp.GetCode())
	if err != nil {
		got = spec.CodeOf(err)
	}
	if got != want || len(resp.GetCertificate()) != 0 || len(resp.GetGossipKey()) != 0 {
		t.Errorf("%s: got %q (%s, %v), want %q and nothing else", what, got, resp.GetMessage(), err, want)
	}
}
