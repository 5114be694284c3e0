package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A carrier is memberlist's transport, over the cluster port. Its two goroutines run
// from start to Shutdown, which also ends every stream, so that nothing of
// memberlist stays behind on one.
type carrier struct {
	port    Port
	metrics *metrics
	streams chan net.Conn
	packets chan *memberlist.Packet
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	listener net.Listener
	socket   net.PacketConn // the port's

	mu struct {
		sync.Mutex
		open   map[*stream]struct{}
		closed bool
	}
}

var _ memberlist.NodeAwareTransport = (*carrier)(nil)

func newCarrier(port Port, m *metrics) *carrier {
	t := &carrier{port: port, metrics: m, streams: make(chan net.Conn), packets: make(chan *memberlist.Packet)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.mu.open = map[*stream]struct{}{}
	return t
}

func (t *carrier) start() {
	t.listener, t.socket = t.port.Listener(proto), t.port.Packets()
	t.wg.Go(t.accept)
	t.wg.Go(t.receive)
}

// FinalAdvertiseAddr answers with the port's own advertised address.
func (t *carrier) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	ctx, cancel := context.WithTimeout(t.ctx, resolveTimeout)
	defer cancel()
	addrs, err := resolve(ctx, t.port.Addr())
	if err != nil {
		return nil, 0, fmt.Errorf("the cluster port's advertised address: %w", err)
	}
	ip, port := addrs[0].IP, addrs[0].Port
	if ip.IsUnspecified() {
		return nil, 0, fmt.Errorf("the cluster port advertises %s, which no other node can reach: set cluster.advertise", t.port.Addr())
	}
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	return ip, port, nil
}

// resolve finds what host:port stands for; there is at least one address if err is nil.
func resolve(ctx context.Context, addr string) ([]net.UDPAddr, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q: want host:port", addr)
	}
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	var out []net.UDPAddr
	for _, f := range found {
		out = append(out, net.UDPAddr{IP: f.IP, Zone: f.Zone, Port: int(port)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%q has no address", host)
	}
	// A name with both is reached by IPv4 most often.
	slices.SortStableFunc(out, func(a, b net.UDPAddr) int { return len(b.IP.To4()) - len(a.IP.To4()) })
	return out, nil
}

// WriteTo sends one packet to ip:port.
func (t *carrier) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends one packet; memberlist's addresses are always ip:port.
func (t *carrier) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	if t.ctx.Err() != nil {
		return time.Time{}, net.ErrClosed
	}
	_, err = t.port.Packets().WriteTo(b, to)
	t.metrics.packets.WithLabelValues("out").Inc()
	return time.Now(), err
}

// PacketCh gives the packets received.
func (t *carrier) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh gives the streams that peers opened.
func (t *carrier) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout opens a stream to ip:port.
func (t *carrier) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream. The deadline stands until memberlist sets
// its own: it writes its label before it does.
func (t *carrier) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := t.port.Dial(ctx, proto, a.Addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		conn.Close()
		return nil, err
	}
	return t.track(conn)
}

// Shutdown ends the goroutines and all streams. The port stays open.
func (t *carrier) Shutdown() error {
	t.mu.Lock()
	t.mu.closed = true
	open := t.mu.open
	t.mu.open = map[*stream]struct{}{}
	t.mu.Unlock()
	t.cancel()
	for s := range open {
		s.Conn.Close()
	}
	if t.listener != nil {
		t.listener.Close()
		if t.socket.SetReadDeadline(time.Unix(1, 0)) != nil { // the socket is the port's to close, if it can be woken otherwise
			t.socket.Close()
		}
	}
	t.wg.Wait()
	return nil
}

func (t *carrier) accept() {
	pause := newPause(t.ctx)
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) || !pause.wait() {
				return
			}
			continue
		}
		pause.reset()
		s, err := t.track(conn)
		if err != nil {
			return
		}
		select {
		case t.streams <- s:
		case <-t.ctx.Done():
			s.Close()
			return
		}
	}
}

func (t *carrier) receive() {
	buf := make([]byte, 64<<10)
	pause := newPause(t.ctx)
	for {
		n, from, err := t.socket.ReadFrom(buf)
		at := time.Now()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) || !pause.wait() {
				return
			}
			continue
		}
		pause.reset()
		t.metrics.packets.WithLabelValues("in").Inc()
		if n == 0 {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: at}
		select {
		case t.packets <- p:
		case <-t.ctx.Done():
			return
		}
	}
}

// A stream is a connection that Shutdown can find.
type stream struct {
	net.Conn
	t *carrier
}

func (t *carrier) track(conn net.Conn) (net.Conn, error) {
	s := &stream{Conn: conn, t: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	t.mu.open[s] = struct{}{}
	return s, nil
}

func (s *stream) Close() error {
	s.t.mu.Lock()
	delete(s.t.mu.open, s)
	s.t.mu.Unlock()
	return s.Conn.Close()
}

// A pause between failures of a socket that may pass, such as too many open files.
type pause struct {
	ctx  context.Context
	next time.Duration
}

func newPause(ctx context.Context) *pause { return &pause{ctx: ctx, next: 5 * time.Millisecond} }

func (p *pause) reset() { p.next = 5 * time.Millisecond }

// wait is false when there is no use in waiting: the carrier has ended.
func (p *pause) wait() bool {
	select {
	case <-p.ctx.Done():
		return false
	case <-time.After(p.next):
	}
	p.next = min(2*p.next, time.Second)
	return true
}
