package consensus

import (
	"context"
	"flag"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestMain runs more tests at a time than there are cores: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// group of servers in one process, as a test sees it.
type cluster struct {
	t       *testing.T
	net     *network
	servers map[string]*server

	mu   sync.Mutex
	dead map[string]bool
}

// server has a disk (stores and machine) that outlives its Consensus.
type server struct {
	*Consensus
	id     string
	port   *port
	fsm    *machine
	store  *raft.InmemStore
	snaps  raft.SnapshotStore
	closed bool
	moves  bool // gets another address at its next start
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, net: newNetwork(), servers: map[string]*server{}, dead: map[string]bool{}}
}

func (c *cluster) alive(id spec.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers[string(id)] != nil && !c.dead[string(id)]
}

// start opens a server, on the disk and at the address that it had if it ran before.
func (c *cluster) start(id string, options ...func(*Config)) *server {
	c.t.Helper()
	c.mu.Lock()
	s := c.servers[id]
	c.mu.Unlock()
	if s == nil {
		s = &server{id: id, fsm: newMachine(), store: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()}
	}
	addr := ""
	if s.port != nil && !s.moves {
		addr = s.port.Addr()
	}
	s.port, s.closed = c.net.listen(c.t, id, addr), false
	cfg := Config{ID: spec.NodeID(id), Port: s.port, Logs: s.store, Stable: s.store, Snapshots: s.snaps, FSM: s.fsm, Nodes: s.fsm.nodes, Alive: c.alive}
	for _, o := range options {
		o(&cfg)
	}
	opened, err := Open(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	s.Consensus = opened
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	s.port.serve(mux)
	c.mu.Lock()
	c.servers[id], c.dead[id] = s, false
	c.mu.Unlock()
	c.t.Cleanup(func() { c.end(s) })
	return s
}

func (c *cluster) end(s *server) {
	c.mu.Lock()
	ended := s.closed
	s.closed = true
	c.mu.Unlock()
	if ended {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		c.t.Error(err)
	}
	s.port.close()
}

// kill takes the server off the network in an instant.
func (c *cluster) kill(id string) {
	c.mu.Lock()
	s := c.servers[id]
	c.dead[id] = true
	c.mu.Unlock()
	s.port.close()
	c.end(s)
}

func node(s *server) *wire.Node {
	return &wire.Node{Id: s.id, Roles: []string{"voter", "worker"}, Region: "r1", Zone: s.id, ClusterAddr: s.port.Addr(),
		State: wire.NodeState_NODE_STATE_ACTIVE, Level: 1, JoinedMs: time.Now().UnixMilli()}
}

func putNode(n *wire.Node) *wire.Command {
	return &wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: n}}}
}

func set(name, value string) *wire.Command {
	return &wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: value}}}
}

func setState(id string, s wire.NodeState) *wire.Command {
	return &wire.Command{Body: &wire.Command_SetNodeState{SetNodeState: &wire.SetNodeState{Id: id, State: s}}}
}

// must proposes and wants it agreed.
func (c *cluster) must(s *server, cmd *wire.Command) *wire.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := s.Propose(ctx, cmd)
	if err != nil {
		c.t.Fatalf("proposing at %s: %v", s.id, err)
	}
	if r.GetCode() != "" {
		c.t.Fatalf("proposing at %s: %s: %s", s.id, r.Code, r.Message)
	}
	return r
}

// grow founds a cluster with the first id and has the others taken in.
func grow(t *testing.T, ids ...string) *cluster {
	t.Helper()
	return growWith(t, func(string) func(*Config) { return func(*Config) {} }, ids...)
}

func growWith(t *testing.T, option func(id string) func(*Config), ids ...string) *cluster {
	t.Helper()
	c := newCluster(t)
	first := c.start(ids[0], option(ids[0]))
	if err := first.Bootstrap(first.ID(), first.port.Addr()); err != nil {
		t.Fatal(err)
	}
	c.must(first, putNode(node(first)))
	for _, id := range ids[1:] {
		c.must(first, putNode(node(c.start(id, option(id)))))
	}
	voters := odd(min(len(ids), first.cfg.MostVoters()))
	eventually(t, 30*time.Second, "all that are to vote do", func() bool {
		agreed := 0
		for _, id := range ids {
			if s := c.servers[id]; s.InConfiguration() && len(s.Voters()) == voters {
				agreed++
			}
		}
		return agreed == min(len(ids), voters+spares)
	})
	return c
}

func (c *Consensus) ID() spec.NodeID { return c.cfg.ID }

// leader waits for a server to lead, as all servers given agree.
func (c *cluster) leader(among ...string) *server {
	c.t.Helper()
	var found *server
	eventually(c.t, 30*time.Second, "one leads", func() bool {
		found = nil
		for _, id := range among {
			said, _ := c.servers[id].Leader()
			if c.servers[string(said)] == nil || !c.servers[string(said)].IsLeader() || found != nil && found.id != string(said) {
				return false
			}
			found = c.servers[string(said)]
		}
		return true
	})
	return found
}

// others are the ids that are not s.
func (c *cluster) others(s *server, ids ...string) []*server {
	var out []*server
	for _, id := range ids {
		if id != s.id {
			out = append(out, c.servers[id])
		}
	}
	return out
}

func within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	time.AfterFunc(d, cancel)
	return ctx
}
