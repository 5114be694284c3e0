package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestMain looks for goroutines left behind. memberlist ends its own some time
// after its Shutdown, at the latest when a probe under way has ended.
func TestMain(m *testing.M) {
	if seed := os.Getenv(childSeed); seed != "" {
		os.Exit(child(seed))
	}
	code := m.Run()
	if code == 0 {
		var err error
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if err = goleak.Find(); err == nil {
				break
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var testKey = bytes.Repeat([]byte{7}, keySize)

// A fabric is the network between test ports: links can be cut.
type fabric struct {
	sync.Mutex
	cuts map[[2]string]bool
}

func (f *fabric) cut(a, b *testPort, cut bool) {
	f.Lock()
	defer f.Unlock()
	f.cuts[[2]string{a.Addr(), b.Addr()}] = cut
	f.cuts[[2]string{b.Addr(), a.Addr()}] = cut
}

func (f *fabric) open(from, to string) bool {
	f.Lock()
	defer f.Unlock()
	return !f.cuts[[2]string{from, to}]
}

// A testPort is a cluster port without TLS: one number for TCP and UDP.
type testPort struct {
	fabric *fabric
	tcp    net.Listener
	udp    *net.UDPConn
}

func listen(t *testing.T, f *fabric) *testPort {
	t.Helper()
	tcp, udp, err := sockets()
	if err != nil {
		t.Fatal(err)
	}
	p := &testPort{fabric: f, tcp: tcp, udp: udp}
	t.Cleanup(p.close)
	return p
}

// sockets opens TCP and UDP on one number, which UDP may have taken already.
func sockets() (net.Listener, *net.UDPConn, error) {
	for try := 0; ; try++ {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		at := tcp.Addr().(*net.TCPAddr)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if try == 20 {
			return nil, nil, err
		}
	}
}

func (p *testPort) close()                       { p.tcp.Close(); p.udp.Close() }
func (p *testPort) Addr() string                 { return p.tcp.Addr().String() }
func (p *testPort) Listener(string) net.Listener { return p.tcp }
func (p *testPort) Packets() net.PacketConn      { return &testPackets{p.udp, p} }

func (p *testPort) Dial(ctx context.Context, name, addr string) (net.Conn, error) {
	if name != "gossip" {
		return nil, fmt.Errorf("dialled protocol %q", name)
	}
	if !p.fabric.open(p.Addr(), addr) {
		return nil, errors.New("cut")
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

type testPackets struct {
	*net.UDPConn
	p *testPort
}

func (c *testPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if !c.p.fabric.open(c.p.Addr(), to.String()) {
		return len(b), nil // lost
	}
	return c.UDPConn.WriteTo(b, to)
}

func newFabric() *fabric { return &fabric{cuts: map[[2]string]bool{}} }

// config is a member's, as the node makes it.
func config(id string, p Port, seeds ...string) Config {
	return Config{
		ID: spec.NodeID(id), Roles: []spec.Role{spec.RoleVoter, spec.RoleWorker}, Region: "eu-north", Zone: "rack-" + id,
		Build: "v0.1.0", Level: 1, API: "10.0.0.1:8080", Port: p, Key: testKey, Label: "lb-test", Seeds: seeds,
		Rejoin: 200 * time.Millisecond,
	}
}

// quick makes deaths and forgetting fast.
func quick(c *memberlist.Config) {
	c.ProbeInterval, c.ProbeTimeout = 100*time.Millisecond, 40*time.Millisecond
	c.GossipInterval, c.GossipToTheDeadTime = 20*time.Millisecond, 200*time.Millisecond
	c.DeadNodeReclaimTime = 100 * time.Millisecond
}

func start(t *testing.T, c Config) *Gossip {
	t.Helper()
	g, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Shutdown)
	return g
}

// three starts members a, b and c, which see each other.
func three(t *testing.T, tune func(*memberlist.Config)) (*fabric, []*testPort, []*Gossip) {
	t.Helper()
	f := newFabric()
	ports := []*testPort{listen(t, f), listen(t, f), listen(t, f)}
	var all []*Gossip
	for i, id := range []string{"a", "b", "c"} {
		c := config(id, ports[i], ports[0].Addr())
		c.tune = tune
		all = append(all, start(t, c))
	}
	for _, g := range all {
		see(t, g, "a", "b", "c")
	}
	return f, ports, all
}

func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func ids(g *Gossip) []string {
	var out []string
	for _, m := range g.Members() {
		out = append(out, string(m.ID))
	}
	return out
}

// see waits until g sees exactly these members.
func see(t *testing.T, g *Gossip, want ...string) {
	t.Helper()
	eventually(t, 30*time.Second, fmt.Sprintf("%s sees %v", g.config.ID, want), func() bool { return slices.Equal(ids(g), want) })
}
