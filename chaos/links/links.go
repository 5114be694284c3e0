package links

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Mode is what a cut does to TCP. Packets are dropped by both.
type Mode string

// The modes.
const (
	Freeze Mode = "freeze" // nothing gets through, nobody is told; what was sent arrives after the cut
	Reset  Mode = "reset"  // connections are closed, new ones at once
)

// A Link is one node's place: where it listens, and the relay in front of it.
type Link struct{ Listen, Advertise netip.AddrPort }

const (
	port      = 7946
	relayHost = 100 // added to a node's number
	maxNodes  = 9
	// staleAfter is how long a connection asked for during a freeze may have
	// waited to be made after it: a longer wait has been given up by who asked.
	staleAfter = 3 * time.Second
)

// A Set is the relays of one cluster.
type Set struct {
	links  []Link
	relays []*relay
	index  map[netip.Addr]int // of the node that sends from there
	done   chan struct{}
	work   sync.WaitGroup
	mu     struct {
		sync.Mutex
		closed  bool
		gates   [][]*gate // from, to
		conns   map[*conn]struct{}
		dropped int // packets and connections that a cut held back
		strange int // connections from who is no node
	}
}

// Open finds addresses that no other cluster uses and starts the relays.
func Open(nodes int) (*Set, error) {
	var last error
	for range 20 {
		s, err := OpenAt(plan(byte(1+rand.IntN(250)), nodes))
		if err == nil {
			return s, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no addresses for relays: %w", last)
}

func plan(octet byte, nodes int) []Link {
	out := make([]Link, nodes)
	for i := range out {
		out[i] = Link{
			Listen:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, octet, byte(1 + i)}), port),
			Advertise: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, octet, byte(1 + relayHost + i)}), port),
		}
	}
	return out
}

// OpenAt starts relays at addresses that a cluster was made with.
func OpenAt(list []Link) (*Set, error) {
	if len(list) < 1 || len(list) > maxNodes {
		return nil, fmt.Errorf("%d nodes: want 1 to %d", len(list), maxNodes)
	}
	s := &Set{links: list, index: map[netip.Addr]int{}, done: make(chan struct{})}
	s.mu.conns = map[*conn]struct{}{}
	s.mu.gates = make([][]*gate, len(list))
	for i, l := range list {
		s.index[l.Listen.Addr()] = i
		s.mu.gates[i] = make([]*gate, len(list))
		for j := range list {
			s.mu.gates[i][j] = newGate()
		}
	}
	for i := range list {
		r, err := listen(s, i)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.relays = append(s.relays, r)
	}
	for _, r := range s.relays {
		s.work.Go(r.accept)
		s.work.Go(r.packets)
	}
	return s, nil
}

// Links are the nodes' places, in their order.
func (s *Set) Links() []Link { return s.links }

// Cut cuts the link on which from sends to to, until Heal.
func (s *Set) Cut(from, to int, m Mode) {
	s.mu.Lock()
	s.mu.gates[from][to].shut(m)
	var broken []*conn
	for c := range s.mu.conns {
		if m == Reset && (c.from == from && c.to == to || c.from == to && c.to == from) {
			broken = append(broken, c)
		}
	}
	s.mu.Unlock()
	for _, c := range broken {
		c.close()
	}
}

// Heal ends every cut.
func (s *Set) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.mu.gates {
		for _, g := range row {
			g.open()
		}
	}
}

// Dropped counts what cuts have held back: packets, and connections not made.
func (s *Set) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.dropped
}

// Strangers counts the connections that came from who is no node. Nodes whose
// connections do not come from where they listen would be among them, and
// nothing that they send could be cut.
func (s *Set) Strangers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.strange
}

func (s *Set) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.dropped++
}

// Close ends the relays and every connection through them, and waits. A second
// call only waits.
func (s *Set) Close() error {
	s.mu.Lock()
	first := !s.mu.closed
	s.mu.closed = true
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	if first {
		close(s.done)
	}
	var errs []error
	for _, r := range s.relays {
		if first {
			errs = append(errs, r.close())
		}
	}
	for _, c := range conns {
		c.close()
	}
	s.work.Wait()
	return errors.Join(errs...)
}

// unknown is the sender that is no node, such as a node that is about to join.
const unknown = -1

// sender is the node that sends from there.
func (s *Set) sender(a netip.Addr) int {
	if i, ok := s.index[a.Unmap()]; ok {
		return i
	}
	return unknown
}

// way returns the gates there and back between two ends.
func (s *Set) way(from, to int) (there, back *gate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from == unknown || from == to {
		return nil, nil
	}
	return s.mu.gates[from][to], s.mu.gates[to][from]
}

// isolated tells whether nobody reaches the node.
func (s *Set) isolated(to int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for from := range s.mu.gates {
		if from != to && s.mu.gates[from][to].state() == "" {
			return false
		}
	}
	return len(s.mu.gates) > 1
}

// keep registers a connection, so that cuts and Close find it.
func (s *Set) keep(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return false
	}
	s.mu.conns[c] = struct{}{}
	if c.from == unknown {
		s.mu.strange++
	}
	return true
}

func (s *Set) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

func tcpAddr(a netip.AddrPort) *net.TCPAddr { return net.TCPAddrFromAddrPort(a) }
