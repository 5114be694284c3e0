package links

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A relay stands in front of one node.
type relay struct {
	set  *Set
	node int
	tcp  *net.TCPListener
	udp  *net.UDPConn
}

func listen(s *Set, node int) (*relay, error) {
	at := s.links[node].Advertise
	tcp, err := net.ListenTCP("tcp", tcpAddr(at))
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		tcp.Close()
		return nil, err
	}
	return &relay{set: s, node: node, tcp: tcp, udp: udp}, nil
}

func (r *relay) close() error { return errors.Join(r.tcp.Close(), r.udp.Close()) }

// packets passes datagrams on. The node sees them come from the sender's relay,
// so that what it answers to their source takes the right way back.
func (r *relay) packets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := r.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // such as the ICMP error of a node that is dead
		}
		sender := r.set.sender(from.Addr())
		out := r.udp
		there, _ := r.set.way(sender, r.node)
		if there.state() != "" || sender == unknown && r.set.isolated(r.node) {
			r.set.drop()
			continue
		}
		if sender != unknown {
			out = r.set.relays[sender].udp
		}
		_, _ = out.WriteToUDPAddrPort(buf[:n], r.set.links[r.node].Listen)
	}
}

func (r *relay) accept() {
	for {
		client, err := r.tcp.AcceptTCP()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // such as too many open files
			continue
		}
		from := unknown
		if a, ok := client.RemoteAddr().(*net.TCPAddr); ok {
			from = r.set.sender(a.AddrPort().Addr())
		}
		c := &conn{set: r.set, from: from, to: r.node, client: client, ended: make(chan struct{})}
		if !r.set.keep(c) {
			client.Close()
			return
		}
		r.set.work.Go(c.run)
	}
}

// A conn is one connection through a relay.
type conn struct {
	set      *Set
	from, to int
	client   *net.TCPConn
	ended    chan struct{} // closed by close
	mu       struct {
		sync.Mutex
		node   *net.TCPConn
		closed bool
	}
}

// close resets both ends, as often as it is called.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	c.mu.closed = true
	close(c.ended)
	_ = c.client.SetLinger(0)
	c.client.Close()
	if c.mu.node != nil {
		_ = c.mu.node.SetLinger(0)
		c.mu.node.Close()
	}
}

func (c *conn) run() {
	defer c.set.forget(c)
	defer c.client.Close()
	there, back := c.set.way(c.from, c.to)
	if !c.admitted(there, back) {
		c.set.drop()
		c.close()
		return
	}
	node, err := c.dial()
	if err != nil {
		c.close()
		return
	}
	defer node.Close()
	var pumps sync.WaitGroup
	pumps.Go(func() { c.pump(node, c.client, there) })
	pumps.Go(func() { c.pump(c.client, node, back) })
	pumps.Wait()
}

// admitted waits until the connection can be made: a handshake needs both directions.
func (c *conn) admitted(there, back *gate) bool {
	if c.from == unknown {
		return !c.set.isolated(c.to)
	}
	asked := time.Now()
	for _, g := range []*gate{there, back} {
		if g.state() == Reset || !g.wait(c.set.done, c.ended) {
			return false
		}
	}
	return time.Since(asked) < staleAfter
}

func (c *conn) dial() (*net.TCPConn, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	if c.from != unknown {
		d.LocalAddr = tcpAddr(netip.AddrPortFrom(c.set.links[c.from].Advertise.Addr(), 0))
	}
	made, err := d.DialContext(context.Background(), "tcp", c.set.links[c.to].Listen.String())
	if err != nil {
		return nil, err
	}
	node := made.(*net.TCPConn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		node.Close()
		return nil, net.ErrClosed
	}
	c.mu.node = node
	return node, nil
}

// pump copies one direction. While the gate is shut it takes nothing more, and
// keeps what it has: neither bytes nor the end get through.
func (c *conn) pump(to, from *net.TCPConn, g *gate) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !g.wait(c.set.done, c.ended) {
			return
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				c.close()
				return
			}
		}
		if err == io.EOF {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			c.close()
			return
		}
	}
}
