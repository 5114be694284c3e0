package links

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	soon   = 30 * time.Second       // in which what gets through arrives
	silent = 150 * time.Millisecond // in which what is cut off does not
)

// A peer is a node that other tests' nodes speak to: it hears lines and
// packets, and speaks through the connections it was asked for.
type peer struct {
	t     *testing.T
	link  Link
	tcp   net.Listener
	udp   net.PacketConn
	conns chan net.Conn
}

func open(t *testing.T, nodes int) (*Set, []*peer) {
	t.Helper()
	s, err := Open(nodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	peers := make([]*peer, nodes)
	for i, l := range s.Links() {
		p := &peer{t: t, link: l, conns: make(chan net.Conn, 16)}
		if p.tcp, err = net.Listen("tcp", l.Listen.String()); err != nil {
			t.Fatal(err)
		}
		if p.udp, err = net.ListenPacket("udp", l.Listen.String()); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := p.tcp.Accept()
				if err != nil {
					return
				}
				p.conns <- c
			}
		}()
		t.Cleanup(func() {
			p.tcp.Close()
			p.udp.Close()
			<-done
			close(p.conns)
			for c := range p.conns {
				c.Close()
			}
		})
		peers[i] = p
	}
	return s, peers
}

// dial connects p to the other through its relay, from p's own address.
func (p *peer) dial(to *peer) net.Conn {
	p.t.Helper()
	c, err := p.tryDial(to)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *peer) tryDial(to *peer) (net.Conn, error) {
	d := net.Dialer{Timeout: soon, LocalAddr: &net.TCPAddr{IP: p.link.Listen.Addr().AsSlice()}}
	c, err := d.Dial("tcp", to.link.Advertise.String())
	if err == nil {
		p.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (p *peer) accepted() net.Conn {
	p.t.Helper()
	select {
	case c := <-p.conns:
		p.t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(soon):
		p.t.Fatal("no connection came")
		return nil
	}
}

// hears reads one line, or returns what went wrong within the limit.
func hears(c net.Conn, limit time.Duration) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	return bufio.NewReaderSize(c, 16).ReadString('\n')
}

func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
}

func wantLine(t *testing.T, c net.Conn, want string) {
	t.Helper()
	if got, err := hears(c, soon); got != want {
		t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

func wantSilence(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := hears(c, silent); !errors.Is(err, os.ErrDeadlineExceeded) || got != "" {
		t.Fatalf("heard %q, %v; want silence", got, err)
	}
}

func TestConnectionsPass(t *testing.T) {
	_, p := open(t, 2)
	there := p[0].dial(p[1])
	back := p[1].accepted()
	if from := back.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); from != p[0].link.Advertise.Addr() {
		t.Errorf("the node sees %v, want the sender's relay", from)
	}
	say(t, there, "hello\n")
	wantLine(t, back, "hello\n")
	say(t, back, "hello yourself\n")
	wantLine(t, there, "hello yourself\n")
	there.Close()
	if _, err := hears(back, soon); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestFreezeHoldsOneDirection(t *testing.T) {
	s, p := open(t, 3)
	there := p[0].dial(p[1])
	back := p[1].accepted()
	s.Cut(0, 1, Freeze)
	say(t, there, "held\n")
	wantSilence(t, back)
	say(t, back, "this way is open\n")
	wantLine(t, there, "this way is open\n")
	// A third node is not concerned.
	other := p[2].dial(p[1])
	say(t, other, "third\n")
	wantLine(t, p[1].accepted(), "third\n")
	s.Heal()
	wantLine(t, back, "held\n")
}

func TestFreezeHoldsTheConnectionsAnswers(t *testing.T) {
	s, p := open(t, 2)
	there := p[0].dial(p[1])
	back := p[1].accepted()
	s.Cut(1, 0, Freeze) // the answers, on a connection that the other asked for
	say(t, back, "held\n")
	wantSilence(t, there)
	s.Heal()
	wantLine(t, there, "held\n")
}

func TestFreezeHoldsNewConnections(t *testing.T) {
	for _, back := range []bool{false, true} { // a handshake needs both ways
		s, p := open(t, 2)
		if back {
			s.Cut(1, 0, Freeze)
		} else {
			s.Cut(0, 1, Freeze)
		}
		c := p[0].dial(p[1])
		say(t, c, "hello\n")
		select {
		case <-p[1].conns:
			t.Fatal("a connection was made over a link that is cut")
		case <-time.After(silent):
		}
		s.Heal()
		wantLine(t, p[1].accepted(), "hello\n")
	}
}

func TestResetClosesConnections(t *testing.T) {
	s, p := open(t, 3)
	there := p[0].dial(p[1])
	back := p[1].accepted()
	other := p[2].dial(p[1])
	third := p[1].accepted()
	s.Cut(0, 1, Reset)
	for _, c := range []net.Conn{there, back} {
		if _, err := hears(c, soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the reset: %v", err)
		}
	}
	if c, err := p[0].tryDial(p[1]); err == nil { // it may be closed before it is seen to be made
		if _, err := hears(c, soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a new connection: %v", err)
		}
	}
	if s.Dropped() == 0 {
		t.Error("nothing counts as held back")
	}
	say(t, other, "third\n")
	wantLine(t, third, "third\n")
	s.Heal()
	again := p[0].dial(p[1])
	say(t, again, "again\n")
	wantLine(t, p[1].accepted(), "again\n")
}

func packet(t *testing.T, from, to *peer, text string) {
	t.Helper()
	if _, err := from.udp.WriteTo([]byte(text), net.UDPAddrFromAddrPort(to.link.Advertise)); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) packet(limit time.Duration) (string, net.Addr) {
	buf := make([]byte, 100)
	_ = p.udp.SetReadDeadline(time.Now().Add(limit))
	n, from, _ := p.udp.ReadFrom(buf)
	return string(buf[:n]), from
}

func TestPackets(t *testing.T) {
	s, p := open(t, 2)
	packet(t, p[0], p[1], "ping")
	got, from := p[1].packet(soon)
	if got != "ping" || from.String() != p[0].link.Advertise.String() {
		t.Fatalf("got %q from %v, want it from the sender's relay", got, from)
	}
	// What is answered to the packet's source finds the sender.
	if _, err := p[1].udp.WriteTo([]byte("pong"), from); err != nil {
		t.Fatal(err)
	}
	if got, _ := p[0].packet(soon); got != "pong" {
		t.Fatalf("got %q", got)
	}
	for _, m := range []Mode{Freeze, Reset} {
		s.Cut(0, 1, m)
		packet(t, p[0], p[1], "lost")
		if got, _ := p[1].packet(silent); got != "" {
			t.Errorf("%s: got %q over a link that is cut", m, got)
		}
		packet(t, p[1], p[0], "other way")
		if got, _ := p[0].packet(soon); got != "other way" {
			t.Errorf("%s: the open direction lost a packet", m)
		}
		s.Heal()
		packet(t, p[0], p[1], "after")
		if got, _ := p[1].packet(soon); got != "after" {
			t.Errorf("%s: got %q after the cut", m, got)
		}
	}
	if s.Dropped() != 2 {
		t.Errorf("%d dropped, want 2", s.Dropped())
	}
}

// TestStrangers: who is no node gets through, as one that is about to join must,
// until the node behind is isolated.
func TestStrangers(t *testing.T) {
	s, p := open(t, 2)
	stranger := func(limit time.Duration) (string, error) {
		c, err := net.Dial("tcp", p[1].link.Advertise.String())
		if err != nil {
			return "", err
		}
		t.Cleanup(func() { c.Close() })
		select {
		case got := <-p[1].conns:
			say(t, got, "welcome\n")
			defer got.Close()
		case <-time.After(limit):
		}
		return hears(c, limit)
	}
	if line, err := stranger(soon); line != "welcome\n" {
		t.Errorf("heard %q, %v", line, err)
	}
	s.Cut(0, 1, Freeze)
	if line, err := stranger(silent); err == nil {
		t.Errorf("heard %q of an isolated node", line)
	}
	if n := s.Strangers(); n != 2 {
		t.Errorf("%d strangers, want 2", n)
	}
}

func TestTwoClustersSideBySide(t *testing.T) {
	a, _ := open(t, 2)
	b, _ := open(t, 2)
	if a.Links()[0] == b.Links()[0] {
		t.Error("two sets have the same addresses")
	}
	if s, err := OpenAt(a.Links()); err == nil {
		s.Close()
		t.Error("addresses were given twice")
	}
}

// TestCloseEndsWhatIsHeld: neither a frozen connection nor one that waits to be
// made keeps Close, and goleak sees that nothing stays.
func TestCloseEndsWhatIsHeld(t *testing.T) {
	s, p := open(t, 2)
	there := p[0].dial(p[1])
	p[1].accepted()
	s.Cut(0, 1, Freeze)
	say(t, there, "held\n")
	p[0].dial(p[1])
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatal("Close does not end")
	}
}
