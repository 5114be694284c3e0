package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cluster = "lb-test"

// agreed is the state of a cluster whose nodes all see the newest at once. It
// knows the commands of this package, with the semantics of wire's comments.
type agreed struct {
	mu       sync.Mutex
	index    uint64
	users    map[string]*wire.User
	sessions map[string]*wire.Session
	secrets  map[string]*wire.Secret
	settings map[string]string
	tenants  []string
	lost     map[string]uint64 // user -> index of the last write of the user's record
	nodes    map[string]*wire.Node
	answers  map[string]*wire.Result
	applied  []*wire.Command
	// before may fail a proposal or change the state first; after may lose the answer.
	before, after func(*wire.Command) error
}

func newAgreed() *agreed {
	return &agreed{users: map[string]*wire.User{}, sessions: map[string]*wire.Session{}, secrets: map[string]*wire.Secret{},
		settings: map[string]string{}, lost: map[string]uint64{}, nodes: map[string]*wire.Node{}, answers: map[string]*wire.Result{}}
}

func get[V any](a *agreed, from map[string]V, key string) (V, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := from[key]
	return v, ok
}

func (a *agreed) Index() uint64 { a.mu.Lock(); defer a.mu.Unlock(); return a.index }

func (a *agreed) Secret(name string) (*wire.Secret, bool) { return get(a, a.secrets, name) }
func (a *agreed) Setting(name string) (string, bool)      { return get(a, a.settings, name) }
func (a *agreed) User(id string) (*wire.User, bool)       { return get(a, a.users, id) }
func (a *agreed) Session(id string) (*wire.Session, bool) { return get(a, a.sessions, id) }

func (a *agreed) Nodes() []*wire.Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*wire.Node
	for _, id := range slices.Sorted(maps.Keys(a.nodes)) {
		out = append(out, a.nodes[id])
	}
	return out
}

func (a *agreed) UserByName(name string) (*wire.User, bool) {
	return a.user(func(u *wire.User) bool { return u.Name == name })
}

func (a *agreed) UserBySubject(issuer, subject string) (*wire.User, bool) {
	return a.user(func(u *wire.User) bool { return u.Issuer == issuer && u.Subject == subject })
}

func (a *agreed) user(is func(*wire.User) bool) (*wire.User, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.users {
		if is(u) {
			return u, true
		}
	}
	return nil, false
}

func (a *agreed) propose(_ context.Context, c *wire.Command) (*wire.Result, error) {
	a.mu.Lock()
	if c.RequestId == "" {
		c.RequestId = fmt.Sprint("r", a.index, len(a.answers))
	}
	before, after := a.before, a.after
	a.mu.Unlock()
	if before != nil {
		if err := before(c); err != nil {
			return nil, err
		}
	}
	result := a.apply(proto.CloneOf(c))
	if after != nil {
		if err := after(c); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (a *agreed) apply(c *wire.Command) *wire.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first, ok := a.answers[c.RequestId]; ok {
		again := proto.CloneOf(first)
		again.Replayed = true
		return again
	}
	if in := c.GetPutSession().GetSession(); c.GetSeen() != 0 && a.lost[in.GetUser()] > c.GetSeen() {
		return &wire.Result{Index: a.index, Code: string(spec.CodeStaleState)}
	}
	a.index++
	a.applied = append(a.applied, c)
	r := &wire.Result{Index: a.index}
	switch b := c.Body.(type) {
	case *wire.Command_PutSecret:
		r.Code = string(a.putSecret(b.PutSecret))
	case *wire.Command_PutUser:
		r.Code = string(a.putUser(b.PutUser))
	case *wire.Command_PutSession:
		r.Code = string(a.putSession(b.PutSession.Session))
	case *wire.Command_RefreshSession:
		r.Code = string(a.refresh(c.AtMs, b.RefreshSession))
	default:
		panic("the package proposes another command")
	}
	a.answers[c.RequestId] = r
	return proto.CloneOf(r)
}

func (a *agreed) putSecret(p *wire.PutSecret) spec.Code {
	if a.secrets[p.Secret.Name].GetVersion() != p.ExpectVersion {
		return spec.CodeConflict
	}
	p.Secret.Version = p.ExpectVersion + 1
	a.secrets[p.Secret.Name] = p.Secret
	return ""
}

func (a *agreed) putUser(p *wire.PutUser) spec.Code {
	if p.User.Tenant != "" && !slices.Contains(a.tenants, p.User.Tenant) {
		return spec.CodeNotFound
	}
	old := a.users[p.User.Id]
	if old.GetVersion() != p.ExpectVersion {
		return map[bool]spec.Code{true: spec.CodeAlreadyExists, false: spec.CodeConflict}[p.ExpectVersion == 0]
	}
	for id, u := range a.users {
		if id != p.User.Id && (u.Name == p.User.Name || u.Subject != "" && u.Issuer == p.User.Issuer && u.Subject == p.User.Subject) {
			return spec.CodeAlreadyExists
		}
	}
	p.User.Version = p.ExpectVersion + 1
	a.users[p.User.Id] = p.User
	a.lost[p.User.Id] = a.index
	return ""
}

func (a *agreed) putSession(s *wire.Session) spec.Code {
	u, known := a.users[s.User]
	switch {
	case a.sessions[s.Id] != nil:
		return spec.CodeAlreadyExists
	case !known:
		return spec.CodeNotFound
	case u.DisabledMs != 0:
		return spec.CodeUserDisabled
	}
	a.sessions[s.Id] = s
	return ""
}

func (a *agreed) refresh(at int64, r *wire.RefreshSession) spec.Code {
	old := a.sessions[r.Id]
	if old == nil || !bytes.Equal(old.FamilyHash, r.FamilyHash) {
		return spec.CodeInvalidRefresh
	}
	s := proto.CloneOf(old)
	switch {
	case s.RevokedMs != 0 || s.ExpiresMs <= at:
		return spec.CodeSessionEnded
	case bytes.Equal(s.RefreshHash, r.TokenHash):
		s.PreviousHash, s.RefreshHash, s.RefreshedMs, s.From, s.Agent = r.TokenHash, r.NextHash, at, r.From, r.Agent
		s.Generation++
	case bytes.Equal(s.PreviousHash, r.TokenHash) && bytes.Equal(s.RefreshHash, r.NextHash) && at-s.RefreshedMs <= 10_000:
		return ""
	default:
		s.RevokedMs, s.Reason = at, "reuse"
		a.sessions[r.Id] = s
		return spec.CodeSessionReused
	}
	a.sessions[r.Id] = s
	return ""
}

func (a *agreed) set(fn func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn()
}

// A world is a cluster's state, its clock and its voters.
type world struct {
	t      testing.TB
	state  *agreed
	log    *strings.Builder // guarded by mu
	mu     sync.Mutex
	now    time.Time
	leader spec.NodeID
	ids    map[spec.NodeID]*pki.Identity
	// machine sets up a new one.
	machine func() *pki.Identity
}

func newWorld(t testing.TB, voters ...spec.NodeID) *world {
	t.Helper()
	w := &world{t: t, state: newAgreed(), now: time.Now().Truncate(time.Millisecond), ids: map[spec.NodeID]*pki.Identity{}, log: &strings.Builder{}}
	w.machine = func() *pki.Identity {
		i, err := pki.CreateIdentity(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	for _, id := range voters {
		w.voter(id)
	}
	if len(voters) > 0 {
		w.leader = voters[0]
	}
	return w
}

// voter makes a machine a member and a voter, also one that was there before.
func (w *world) voter(id spec.NodeID) {
	w.t.Helper()
	i := w.machine()
	w.state.set(func() {
		w.ids[id] = i
		w.state.nodes[string(id)] = &wire.Node{Id: string(id), Roles: []string{"voter"}, State: wire.NodeState_NODE_STATE_ACTIVE, SealKey: i.SealPublic()}
	})
}

func (w *world) remove(id spec.NodeID) {
	w.state.set(func() {
		n := proto.CloneOf(w.state.nodes[string(id)])
		n.State = wire.NodeState_NODE_STATE_REMOVED
		w.state.nodes[string(id)] = n
	})
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

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) leads(id spec.NodeID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leader == id
}

func (w *world) config(id spec.NodeID) Config {
	return Config{
		Cluster: cluster, Identity: w.ids[id], Self: id, State: w.state, Propose: w.state.propose,
		Barrier: func(context.Context) error { return nil }, Leader: func() bool { return w.leads(id) },
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Clock: w.clock, Log: slog.New(slog.NewTextHandler(w, nil)),
	}
}

// server is a voter's, once the signing keys are there.
func (w *world) server(id spec.NodeID) *Server {
	w.t.Helper()
	s := NewServer(w.config(id))
	w.tend(s)
	return s
}

// tend does one round of upkeep.
func (w *world) tend(s *Server) {
	w.t.Helper()
	s.tend(w.t.Context(), &watched{name: spec.SessionSigningSecret}, s.signingView, s.change)
	s.tend(w.t.Context(), &watched{name: spec.OIDCClientSecret}, s.clientView, s.changeClient)
}

// local is a user of the cluster's own.
func (w *world) local(name, password string) *wire.User {
	u := &wire.User{Id: "id-" + name, Name: name, Password: password, Version: 1}
	w.state.set(func() { w.state.users[u.Id] = u })
	return u
}

func (w *world) published() spec.SigningKeys {
	w.t.Helper()
	sealed, ok := w.state.Secret(spec.SessionSigningSecret)
	if !ok {
		w.t.Fatal("there are no signing keys")
	}
	return keysOf(w.t, sealed.Public)
}

func wantCode(t testing.TB, err error, want spec.Code) {
	t.Helper()
	var e *spec.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}
