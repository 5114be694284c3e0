package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A state is a state machine of one process that applies at once.
type state struct {
	mu          sync.Mutex
	index       uint64
	age         time.Duration
	keys        map[string]*wire.APIKey
	deployments map[string]*wire.Deployment
	models      map[string]*wire.Model
	nodes       map[string]*wire.Node
	tenants     map[string]*wire.Tenant
	settings    map[string]gateway.Setting
	users       map[string]*wire.User
	roles       map[string]*wire.AccessRole
	bindings    map[string]*wire.Binding
	sessions    map[string]*wire.Session
	tokens      map[string]*wire.JoinToken
	secrets     map[string]*wire.Secret
	placements  map[string]*wire.Placement
	used        map[string]int64
	audit       []*wire.AuditEntry
	usage       []*wire.UsageRow
	read        int // records that pages have given
	applied     map[string]*wire.Result
	last        *wire.Command
	barriers    int
	barrier     func(context.Context) error // nil: at once
	fn          func(gateway.Change)
	refuse      func(*wire.Command) spec.Code // nil: nothing is
}

func newState() *state {
	return &state{index: 10, keys: map[string]*wire.APIKey{}, deployments: map[string]*wire.Deployment{}, models: map[string]*wire.Model{},
		nodes: map[string]*wire.Node{"n1": {Id: "n1"}}, applied: map[string]*wire.Result{},
		tenants: map[string]*wire.Tenant{}, settings: map[string]gateway.Setting{"cluster/one": {Name: "cluster/one", Value: "hidden"}},
		users: map[string]*wire.User{}, roles: map[string]*wire.AccessRole{}, bindings: map[string]*wire.Binding{}, sessions: map[string]*wire.Session{},
		tokens: map[string]*wire.JoinToken{"tok": {Id: "tok", Role: "worker", UsesLeft: 1}}, secrets: map[string]*wire.Secret{}, used: map[string]int64{},
		placements: map[string]*wire.Placement{"i-n1": {Instance: "i-n1", Deployment: "placed", Node: "n1", Device: "cpu/n1", Version: 1, Epoch: 4}}}
}

func (s *state) subscribe(fn func(gateway.Change)) func() {
	s.fn = fn
	return func() {}
}

func (s *state) addKey(id, tenant string, rpm uint32, scopes ...string) string {
	id += "xxxx"
	secret := strings.Repeat("a", 32)
	hash := auth.Hash([]byte(secret))
	s.keys[id] = &wire.APIKey{Id: id, Tenant: tenant, Name: id, Hash: hash[:], Scopes: scopes, RequestsPerMinute: rpm}
	return auth.Format(id, secret)
}

func (s *state) addDeployment(name, tenant string) {
	s.deployments[name] = &wire.Deployment{Name: name, Tenant: tenant, Version: 1, Engine: "embedded", Replicas: 1}
}

func (s *state) Propose(_ context.Context, c *wire.Command) (*wire.Result, error) {
	s.mu.Lock()
	s.last = c
	if old, ok := s.applied[c.RequestId]; ok {
		s.mu.Unlock()
		old = proto.Clone(old).(*wire.Result)
		old.Replayed = true
		return old, nil
	}
	if s.refuse != nil {
		if code := s.refuse(c); code != "" {
			s.mu.Unlock()
			return &wire.Result{Code: string(code), Message: "refused"}, nil
		}
	}
	s.index++
	res := &wire.Result{Index: s.index}
	refs := s.applyLocked(c, res)
	s.applied[c.RequestId] = res
	s.mu.Unlock()
	s.fn(gateway.Change{Index: res.Index, Records: refs})
	return res, nil
}

func (s *state) Index() uint64      { s.mu.Lock(); defer s.mu.Unlock(); return s.index }
func (s *state) Age() time.Duration { s.mu.Lock(); defer s.mu.Unlock(); return s.age }

func (s *state) hash() ([]byte, uint64) { return make([]byte, sha256.Size), s.Index() }

func (s *state) Barrier(ctx context.Context) error {
	s.mu.Lock()
	s.barriers++
	wait := s.barrier
	s.mu.Unlock()
	if wait == nil {
		return nil
	}
	return wait(ctx)
}

func pick[T any](s *state, m map[string]T, id string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := m[id]
	return v, ok
}

func (s *state) Import(_ context.Context, name string, r io.Reader) (*wire.Model, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return nil, err
	}
	m := &wire.Model{Name: name, Format: "gguf", Size: uint64(n), Digest: h.Sum(nil), ImportedOn: "n1"}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[name] = m
	return m, nil
}

func (s *state) ImportFolder(ctx context.Context, name string, r io.Reader) (*wire.Model, error) {
	m, err := s.Import(ctx, name, r)
	if err == nil {
		m.Format, m.Parts = "safetensors", []*wire.ModelPart{{Path: "a.safetensors", Size: m.Size, Digest: m.Digest}}
	}
	return m, err
}
func (s *state) Homes(string) []string { return []string{"n1", "n2"} }
func (s *state) Storage(context.Context) []gateway.NodeStorage {
	n := gateway.NodeStorage{Node: "n1", Models: []gateway.ModelCopy{}, Coming: []gateway.ModelTransfer{}, Checks: []gateway.ModelCheck{}, Removable: []gateway.Removable{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.models {
		digest := hex.EncodeToString(m.GetDigest())
		n.Models = append(n.Models, gateway.ModelCopy{Digest: digest, Kind: "whole", Bytes: int64(m.GetSize())})
		n.Coming = append(n.Coming, gateway.ModelTransfer{Node: "n2", Model: m.GetName(), Digest: digest, From: "nodes", Total: int64(m.GetSize())})
	}
	return []gateway.NodeStorage{n}
}
func (s *state) Copies(ctx context.Context) []gateway.NodeStorage  { return s.Storage(ctx) }
func (s *state) Collect(ctx context.Context) []gateway.NodeStorage { return s.Storage(ctx) }
func (s *state) Verify(_ context.Context, name string) ([]gateway.ModelCheck, error) {
	return []gateway.ModelCheck{{Node: "n1", Model: name, Running: true, Damaged: []gateway.ModelFault{{Chunk: 1, File: "f"}}}}, nil
}
func (s *state) Pull(_ context.Context, name, url, _ string) (gateway.ModelTransfer, error) {
	return gateway.ModelTransfer{Node: "n1", Model: name, From: url}, nil
}
func (s *state) CancelPull(context.Context, string) error { return nil }

func (s *state) Create(_ context.Context, role spec.Role, ttl time.Duration, uses int) (string, *wire.JoinToken, error) {
	return "ltj_x", &wire.JoinToken{Id: "tok", Role: string(role), UsesLeft: uint32(uses), ExpiresMs: time.Now().Add(ttl).UnixMilli()}, nil
}

func (s *state) Self() spec.NodeID { return "n1" }
func (s *state) Status(context.Context) (*gateway.Status, error) {
	return &gateway.Status{Cluster: "c", Self: "n1", Leader: "n1", Nodes: []gateway.NodeStatus{
		{ID: "n2", State: "active"}, {ID: "n1", State: "active", Alive: true}, {ID: "n3", State: "active"}},
		Instances: []gateway.InstanceStatus{{ID: "i", State: "ready"}},
		Lacking:   []gateway.LackStatus{{Deployment: "d", Version: 1, Reason: "no room"}},
		Scaling:   []gateway.ScaleStatus{{Deployment: "d", Min: 1, Max: 2, Wanted: 2, Reason: "queue", Because: "3 requests wait"}},
		Transfers: []gateway.ModelTransfer{{Node: "n2", Model: "m", Digest: "ab", From: "nodes", Bytes: 1, Total: 2}}}, nil
}
func (s *state) Drain(context.Context, spec.NodeID) error  { return nil }
func (s *state) Resume(context.Context, spec.NodeID) error { return nil }
func (s *state) Caches(context.Context) ([]gateway.CacheStat, []spec.NodeID) {
	return []gateway.CacheStat{{Node: "n1", Device: "n1/gpu0", Deployment: "chat", Entries: 2, Bytes: 3000, Hits: 5, Misses: 2, Joined: 1}}, []spec.NodeID{"n2"}
}

func (s *state) Reload(_ context.Context, id spec.NodeID) (*gateway.Reloaded, error) {
	if id != "n1" {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "node %s keeps its configuration", id)
	}
	return &gateway.Reloaded{Taken: []gateway.ConfigChange{{Key: "log.level", From: "info", To: "debug"}}}, nil
}
func (s *state) Plan(_ context.Context, d *wire.Deployment, m *wire.Model) (*gateway.Plan, error) {
	return &gateway.Plan{Name: d.GetName(), Estimate: gateway.PlanEstimate{Bytes: 5 + m.GetSize(), Slots: d.GetSlots(), Parts: []gateway.PlanPart{{Name: "stated", Bytes: 5, Text: "x"}}},
		Devices: []gateway.PlanDevice{{Node: "n1", Device: "gpu/0", Refusal: "too full", Source: "estimated", WouldEvict: []gateway.PlanLeft{{Instance: "i", Deployment: "d", State: "ready"}}}},
		Actions: []gateway.PlanAction{{Action: "unplaced", Devices: []string{}, Reason: "no room"}}}, nil
}
func (s *state) TransferLeadership(context.Context) error { return nil }
