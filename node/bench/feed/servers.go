package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/rpc"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/feed"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
	"github.com/lotabots/lotabots/storage/snapshot"
	"github.com/lotabots/lotabots/storage/state"
)

// serverIDs are the Raft group.
var serverIDs = []string{"s1", "s2", "s3"}

// A server is one of the group: the parts that node/ makes a voter of.
type server struct {
	id    string
	db    *storage.DB
	state *state.Store
	port  *transport.Port
	raft  *consensus.Consensus
}

// Servers is the group, for net/rpc.
type Servers struct {
	list      []*server
	addresses sync.Map     // id: host:port
	sent      atomic.Int64 // bytes written by handlers of the feed
	next      int          // number of the next key
	life      context.Context
}

// serveGroup is the servers' process: dir has an identity for each.
func serveGroup(dir, profile string) (err error) {
	finish, err := profileTo(profile, "servers")
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.Background())
	g := &Servers{life: life}
	defer func() { err = errors.Join(err, g.close(end), finish()) }()
	for _, id := range serverIDs {
		s, err := g.open(dir, id)
		if err != nil {
			return fmt.Errorf("server %s: %w", id, err)
		}
		if err := g.takeIn(s); err != nil {
			return fmt.Errorf("server %s: %w", id, err)
		}
	}
	if err := g.settled(); err != nil {
		return err
	}
	r := rpc.NewServer()
	if err := r.Register(g); err != nil {
		return err
	}
	r.ServeConn(twoWay{os.Stdin, os.Stdout})
	return nil
}

func (g *Servers) address(id spec.NodeID) (string, bool) {
	at, ok := g.addresses.Load(string(id))
	addr, _ := at.(string)
	return addr, ok
}

func (g *Servers) open(dir, id string) (*server, error) {
	s := &server{id: id}
	identity, err := pki.OpenIdentity(filepath.Join(dir, id))
	if err != nil {
		return nil, err
	}
	if s.port, err = transport.Listen(transport.Config{Listen: "127.0.0.1:0", Identity: identity, Resolve: g.address}); err != nil {
		return nil, err
	}
	g.list = append(g.list, s)
	g.addresses.Store(id, s.port.Addr())
	if s.db, err = storage.Open(filepath.Join(dir, id, "db"), storage.Options{}); err != nil {
		return nil, err
	}
	if s.state, err = state.Open(s.db); err != nil {
		return nil, err
	}
	snapshots, err := snapshot.Open(filepath.Join(dir, id, "snapshots"), 2, nil)
	if err != nil {
		return nil, err
	}
	logs := raftlog.New(s.db)
	s.raft, err = consensus.Open(consensus.Config{ID: spec.NodeID(id), Port: s.port, Logs: logs, Stable: logs, Snapshots: snapshots,
		FSM: s.state, Nodes: s.state.Nodes})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /feed", g.counted(feed.Handler(s.state, feed.WithAge(s.raft.Age))))
	mux.Handle("/", s.raft.Handler())
	s.port.Handle("state", mux)
	serveBroadcast(g.life, s)
	return s, nil
}

// takeIn makes s the group's first server, or has the group take it in.
func (g *Servers) takeIn(s *server) error {
	if s.id == serverIDs[0] {
		if err := s.raft.Bootstrap(spec.NodeID(s.id), s.port.Addr()); err != nil {
			return err
		}
	}
	_, err := g.propose(&wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: &wire.Node{
		Id: s.id, Roles: []string{string(spec.RoleVoter)}, Region: "r1", Zone: s.id, ClusterAddr: s.port.Addr(),
		State: wire.NodeState_NODE_STATE_ACTIVE, Level: state.Level, JoinedMs: time.Now().UnixMilli(),
	}}}})
	return err
}

// settled waits until all vote.
func (g *Servers) settled() error {
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		voting := 0
		for _, s := range g.list {
			if len(s.raft.Voters()) == len(serverIDs) {
				voting++
			}
		}
		if voting == len(serverIDs) {
			return nil
		}
	}
	return errors.New("the servers did not become a group of voters")
}

// propose writes at the first server, which is the leader unless it was too busy.
func (g *Servers) propose(c *wire.Command) (*wire.Result, error) {
	ctx, cancel := context.WithTimeout(g.life, 20*time.Second)
	defer cancel()
	r, err := g.list[0].raft.Propose(ctx, c)
	if err == nil && r.GetCode() != "" {
		err = fmt.Errorf("%s: %s", r.GetCode(), r.GetMessage())
	}
	return r, err
}

func (g *Servers) close(end func()) error {
	end()
	var failed []error
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for _, s := range g.list {
		if s.raft != nil {
			failed = append(failed, s.raft.Shutdown(ctx))
		}
		failed = append(failed, s.port.Close())
		if s.db != nil {
			failed = append(failed, s.db.Close())
		}
	}
	return errors.Join(failed...)
}

// counted adds up what the handler writes.
func (g *Servers) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(counter{w, &g.sent}, r)
	})
}

type counter struct {
	http.ResponseWriter
	sum *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.sum.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find what is under it.
func (c counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

var _ io.Writer = counter{}
