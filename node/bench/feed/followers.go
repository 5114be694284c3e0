package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/feed"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/state"
)

// A follower is the parts that node/ makes a follower of.
type follower struct {
	db    *storage.DB
	state *state.Store
	port  *transport.Port
	feed  *feed.Follower // nil: not following now

	mu struct {
		sync.Mutex
		seen []sight
	}
}

// A sight is the moment at which everything up to an index had been applied.
type sight struct {
	index uint64
	at    int64 // nanoseconds since 1970
}

// crowd is all followers.
type crowd struct {
	list    []*follower
	servers map[string]string // id: host:port
}

// resolve finds the servers.
func (c *crowd) resolve(id spec.NodeID) (string, bool) {
	at, ok := c.servers[string(id)]
	return at, ok
}

// member makes an identity in dir and has the authority sign it.
func member(a *pki.Authority, dir, id string, role spec.Role) (*pki.Identity, error) {
	i, err := pki.CreateIdentity(filepath.Join(dir, id))
	if err != nil {
		return nil, err
	}
	request, err := i.CSR()
	if err != nil {
		return nil, err
	}
	cert, err := a.Sign(request, pki.SignRequest{ID: spec.NodeID(id), Roles: []spec.Role{role}, TTL: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	return i, i.Install(cert, a.Cert.Raw)
}

// open makes a follower for each identity, which does not follow yet.
func (c *crowd) open(identities []*pki.Identity) (err error) {
	for i, me := range identities {
		f := &follower{}
		c.list = append(c.list, f)
		if f.port, err = transport.Listen(transport.Config{Listen: home(i), Identity: me, Resolve: c.resolve}); err != nil {
			return err
		}
		if f.db, err = storage.Open("db", storage.Options{FS: storage.Memory()}); err != nil {
			return err
		}
		if f.state, err = state.Open(f.db); err != nil {
			return err
		}
		f.state.Subscribe(func(ch state.Change) {
			at := time.Now().UnixNano()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.mu.seen = append(f.mu.seen, sight{ch.Index, at})
		})
	}
	return nil
}

// home gives every follower an address of its own, as it has in a cluster, where
// the system has so many: servers bound handshakes by address.
func home(i int) string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1:0"
	}
	return fmt.Sprintf("127.77.%d.%d:0", i/250, 1+i%250)
}

func (c *crowd) follow() {
	voters := make([]spec.NodeID, 0, len(serverIDs))
	for _, id := range serverIDs {
		voters = append(voters, spec.NodeID(id))
	}
	for _, f := range c.list {
		f.feed = feed.Follow(feed.Config{Port: f.port, Voters: func() []spec.NodeID { return voters }, Store: f.state, Level: state.Level})
		f.feed.Start()
	}
}

func (c *crowd) unfollow() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c.each(func(_ int, f *follower) error {
		if f.feed == nil {
			return nil
		}
		err := f.feed.Shutdown(ctx)
		f.feed = nil
		return err
	})
}

// each calls fn for all followers at the same time.
func (c *crowd) each(fn func(i int, f *follower) error) error {
	failed := make([]error, len(c.list))
	var work sync.WaitGroup
	for i, f := range c.list {
		work.Go(func() { failed[i] = fn(i, f) })
	}
	work.Wait()
	return errors.Join(failed...)
}

// attach connects everybody to the bare broadcast. The function returned ends it.
func (c *crowd) attach(ctx context.Context) (detach func() error, err error) {
	conns := make([]net.Conn, len(c.list))
	err = c.each(func(i int, f *follower) (err error) {
		for range 50 { // so many handshakes at a time may be too many for a server
			if conns[i], err = f.port.Dial(ctx, broadcastProto, c.servers[serverIDs[i%len(serverIDs)]]); err == nil || ctx.Err() != nil {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
		return err
	})
	var work sync.WaitGroup
	failed := make([]error, len(c.list))
	for i, f := range c.list {
		if conns[i] != nil {
			work.Go(func() { failed[i] = f.listen(conns[i]) })
		}
	}
	return func() error {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
		work.Wait()
		return errors.Join(failed...)
	}, err
}

// reached waits until every follower has applied index.
func (c *crowd) reached(ctx context.Context, index uint64, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, f := range c.list {
		for f.state.Index() < index {
			changed := f.state.Changed()
			if f.state.Index() >= index {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return fmt.Errorf("a follower is at %d after %s, and not at %d", f.state.Index(), within, index)
			}
		}
	}
	return nil
}

func (c *crowd) close() error {
	return errors.Join(c.unfollow(), c.each(func(_ int, f *follower) error {
		var failed []error
		if f.port != nil {
			failed = append(failed, f.port.Close())
		}
		if f.db != nil {
			failed = append(failed, f.db.Close())
		}
		return errors.Join(failed...)
	}))
}

// forget drops what was seen so far.
func (c *crowd) forget() {
	for _, f := range c.list {
		f.mu.Lock()
		f.mu.seen = nil
		f.mu.Unlock()
	}
}

// delays are the times from each write's acknowledgement to each follower's
// application of it; 0 where a follower was sooner than the answer.
func (c *crowd) delays(writes []Write) []time.Duration {
	out := make([]time.Duration, 0, len(writes)*len(c.list))
	for _, f := range c.list {
		f.mu.Lock()
		at := 0
		for _, w := range writes {
			for at < len(f.mu.seen) && f.mu.seen[at].index < w.Index {
				at++
			}
			if at < len(f.mu.seen) {
				out = append(out, max(0, time.Duration(f.mu.seen[at].at-w.Acked)))
			}
		}
		f.mu.Unlock()
	}
	return out
}
