package gossip

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Gossip is this node's part in the gossip. Start made it, Shutdown ends it.
type Gossip struct {
	config   Config
	table    *table
	notifier *notifier
	digests  *inbox
	peers    *peers
	metrics  *metrics
	list     *memberlist.Memberlist

	said  *delegate     // what this node says of itself
	nudge chan struct{} // somebody was lost
	stop  chan struct{}
	wg    sync.WaitGroup

	life struct {
		sync.Mutex
		ended bool
	}
}

// Start joins in. It is no error if nobody answers: the looking goes on.
func Start(c Config) (*Gossip, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m := newMetrics()
	over := newCarrier(c.Port, m)
	self, meta, err := c.self(over)
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		config: c, notifier: newNotifier(), digests: newInbox(), peers: openPeers(c.PeersFile, c.Log), metrics: m,
		nudge: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	g.table = newTable(self, time.Now, g.changed)
	g.table.barred = c.Barred
	settings := c.memberlist()
	settings.Transport, settings.Logger = over, newLogger(c.Log)
	g.said = &delegate{digests: g.digests, metrics: m}
	g.said.meta.Store(&meta)
	settings.Delegate = g.said
	settings.Events, settings.Alive = g.table, g.table
	if g.list, err = memberlist.Create(settings); err != nil {
		_ = over.Shutdown() // has nothing to report
		return nil, fmt.Errorf("gossip: %w", err)
	}
	m.register(c.Registerer, g.table, g.list.GetHealthScore)
	over.start()
	go g.notifier.run()
	go g.digests.run(g, g.stop)
	g.wg.Go(g.seek)
	g.wg.Go(func() { g.peers.keep(g.stop) })
	return g, nil
}

// self is this node as a member, and what it will say of itself.
func (c *Config) self(t *carrier) (Member, []byte, error) {
	ip, port, err := t.FinalAdvertiseAddr("", 0)
	if err != nil {
		return Member{}, nil, err
	}
	m := Member{
		ID: c.ID, Roles: c.Roles, Region: c.Region, Zone: c.Zone, Build: c.Build, Level: c.Level, API: c.API,
		Addr: net.JoinHostPort(ip.String(), strconv.Itoa(port)),
	}
	meta, err := encodeMeta(m)
	return m, meta, err
}

// changed is told by the table of every change, and may not block.
func (g *Gossip) changed(e Event) {
	g.notifier.tell(e)
	if e.Up {
		g.metrics.events.WithLabelValues("up").Inc()
		g.peers.remember(peer{ID: string(e.Member.ID), Addr: e.Member.Addr})
		return
	}
	g.metrics.events.WithLabelValues("down").Inc()
	select {
	case g.nudge <- struct{}{}:
	default:
	}
}

// Members lists who is alive, this node included, ordered by id. One that is
// suspected is alive until the suspicion has held.
func (g *Gossip) Members() []Member { return g.table.members() }

// Count is how many members have the role.
func (g *Gossip) Count(role spec.Role) int { return g.table.count(role) }

// Alive tells whether the member is alive; this node is.
func (g *Gossip) Alive(id spec.NodeID) bool {
	_, ok := g.table.member(id)
	return ok
}

// Fault is what the member tells that it cannot do; Faultless for one that is not
// there. Of this node it is what SetFault said.
func (g *Gossip) Fault(id spec.NodeID) Fault {
	m, _ := g.table.member(id)
	return m.Fault
}

// SetFault tells the others what this node cannot do. It waits shortly until the
// first of them has been told; the others hear of it as of any change.
func (g *Gossip) SetFault(f Fault) error {
	g.life.Lock()
	defer g.life.Unlock()
	if g.life.ended {
		return nil
	}
	m, _ := g.table.member(g.config.ID)
	m.Fault = f
	meta, err := encodeMeta(m)
	if err != nil {
		return err
	}
	g.said.meta.Store(&meta)
	g.table.setSelf(m)
	if err := g.list.UpdateNode(faultLimit); err != nil {
		return fmt.Errorf("telling of the fault %q: %w", f, err)
	}
	return nil
}

const faultLimit = 500 * time.Millisecond

// Subscribe has fn called with an Event for each member that is there, this node
// excepted, and then for each change, in order and from one goroutine. Events
// that are not told yet when Shutdown begins are not told any more. fn may not
// call Shutdown.
func (g *Gossip) Subscribe(fn func(Event)) { g.notifier.subscribe(fn) }

// Leave tells the others that this node goes on purpose, and returns when one of
// them has been told, or with an error after the timeout. Shutdown follows.
func (g *Gossip) Leave(timeout time.Duration) error {
	g.life.Lock()
	defer g.life.Unlock()
	if g.life.ended {
		return nil
	}
	if timeout <= 0 {
		timeout = time.Second // the library takes 0 for ever
	}
	if !slices.ContainsFunc(g.list.Members(), func(n *memberlist.Node) bool { return n.Name == string(g.config.ID) }) {
		return nil // memberlist would look at an entry that is not there
	}
	if err := g.list.Leave(timeout); err != nil {
		return fmt.Errorf("leaving the gossip: %w", err)
	}
	return nil
}

// Shutdown ends everything that Start began and waits for it; without a Leave
// before, the others will find this node dead. The port stays open. A second
// call does nothing.
func (g *Gossip) Shutdown() {
	g.life.Lock()
	defer g.life.Unlock()
	if g.life.ended {
		return
	}
	g.life.ended = true
	close(g.stop)
	_ = g.list.Shutdown() // returns what the transport's returned: nil
	g.wg.Wait()
	g.notifier.close()
	<-g.digests.done
}
