package actors

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// The test binary is also a shim, and an engine for tests that need a process to kill.
func TestMain(m *testing.M) {
	shim.IfAsked()
	if os.Getenv("LOTABOTS_ACTORS_TEST") == "llama-server" {
		os.Exit(llamaServerMain(os.Args[1:]))
	}
	if code, done := runApart(); done {
		os.Exit(code)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they wait, for the most part
		panic(err)
	}
	code := m.Run()
	removeHelper()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A mesh is a cluster's authority and the addresses of its nodes.
type mesh struct {
	t    *testing.T
	cert *x509.Certificate
	key  ed25519.PrivateKey

	mu    sync.Mutex
	ports map[spec.NodeID]string
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	m := &mesh{t: t, ports: map[spec.NodeID]string{}}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.key = key
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	if m.cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return m
}

// certificate is a member's, as the cluster's authority signs it.
func (m *mesh) certificate(id string, roles ...spec.Role) tls.Certificate {
	m.t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	subject := pkix.Name{CommonName: id}
	for _, r := range roles {
		subject.OrganizationalUnit = append(subject.OrganizationalUnit, string(r))
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, m.cert, public, m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func (m *mesh) verify(s tls.ConnectionState) error {
	pool := x509.NewCertPool()
	pool.AddCert(m.cert)
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func (m *mesh) server(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAnyClientCert, VerifyConnection: m.verify}
}

func (m *mesh) client(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS13, NextProtos: []string{"actor", "h2"},
		InsecureSkipVerify: true, VerifyConnection: m.verify} // members are known by the authority, not by a name
}

func (m *mesh) address(id spec.NodeID) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.ports[id]
	return a, ok
}

func (m *mesh) setAddress(id spec.NodeID, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports[id] = address
}

// A port stands for the cluster port: it hands connections over, untouched.
type port struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
	open     map[net.Conn]bool
	tasks    sync.WaitGroup
}

func newPort(t *testing.T, address string) *port {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &port{listener: l, open: map[net.Conn]bool{}}
	p.tasks.Go(p.serve)
	return p
}

func (p *port) splice(loopback string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = loopback
}

func (p *port) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			p.mu.Lock()
			p.open[pair[0]] = true
			p.mu.Unlock()
			p.tasks.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = in.Close()
				_ = out.Close()
			})
		}
	}
}

// cut ends every connection, and the port itself.
func (p *port) cut() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.tasks.Wait()
}

// startedNode says that this process has run a node.
var startedNode atomic.Bool

// A testNode is a system with its port.
type testNode struct {
	*System
	port    *port
	metrics *prometheus.Registry
	mu      sync.Mutex
	digests []*wire.LoadDigest
}

// start runs a node's actors on two simulated devices of 1000 MiB. bend changes
// its configuration.
func (m *mesh) start(id string, roles []spec.Role, bend ...func(*Config)) *testNode {
	m.t.Helper()
	if raceEnabled && startedNode.Swap(true) {
		alone(m.t)
	}
	listen := "127.0.0.1:0"
	if known, ok := m.address(spec.NodeID(id)); ok {
		listen = known
	}
	n := &testNode{port: newPort(m.t, listen), metrics: prometheus.NewRegistry()}
	m.setAddress(spec.NodeID(id), n.port.listener.Addr().String())
	own := m.certificate(id, roles...)
	c := Config{
		Node: spec.NodeID(id), Region: "east", Boot: uint64(time.Now().UnixMilli()), Address: n.port.listener.Addr().String(),
		ServerTLS: m.server(own), ClientTLS: func() *tls.Config { return m.client(own) },
		RemoteAddr: m.address, Splice: n.port.splice, Digest: n.take,
		BlobPath: func(context.Context, *wire.LoadModel, func(float64)) (string, error) {
			return "", errors.New("no model here")
		},
		Devices: Devices{Kind: "simulated", Simulated: 2, MemoryMB: 1000},
		Engines: Engines{Shim: []string{os.Args[0]}},
		// Stand-ins for engines hold answers back at will: none of them hangs.
		Policy:      instance.Policy{First: 5 * time.Millisecond, Probe: 50 * time.Millisecond, Hang: -1, Canary: -1},
		AnswerBytes: 1 << 20,
		RunDir:      m.t.TempDir(), Log: testLog(m.t), Registerer: n.metrics,
	}
	for _, b := range bend {
		b(&c)
	}
	var err error
	if n.System, err = Start(c); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(n.stop)
	return n
}

func (n *testNode) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		n.cfg.Log.Error("shutdown", "error", err)
	}
	n.port.cut()
}

func (n *testNode) take(d *wire.LoadDigest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.digests = append(n.digests, d)
}

func (n *testNode) told() []*wire.LoadDigest {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*wire.LoadDigest(nil), n.digests...)
}

// load is what the newest digest tells of an instance; nil: nothing.
func (n *testNode) load(id string) *wire.InstanceLoad {
	told := n.told()
	for i := len(told) - 1; i >= 0; i-- {
		for _, d := range told[i].Devices {
			for _, in := range d.Instances {
				if in.Instance == id {
					return in
				}
			}
		}
	}
	return nil
}

func (n *testNode) awaitState(t *testing.T, id string, want wire.InstanceState) *wire.InstanceLoad {
	t.Helper()
	var got *wire.InstanceLoad
	await(t, fmt.Sprintf("%s is %s", id, want), func() bool {
		got = n.load(id)
		return got.GetState() == want
	}, func() string { return got.String() })
	return got
}

func await(t *testing.T, what string, done func() bool, found ...func() string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			for _, f := range found {
				t.Logf("found: %s", f())
			}
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// testLog writes to the test's log where the test is verbose.
func testLog(t *testing.T) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var everything = []spec.Role{spec.RoleVoter, spec.RoleWorker, spec.RoleGateway}

const isReady = wire.InstanceState_INSTANCE_STATE_READY

func mustCode(t *testing.T, a *wire.Ack, err error, want spec.Code) {
	t.Helper()
	if err != nil || a.GetCode() != string(want) || a.GetLoad() == nil {
		t.Fatalf("answer %v, %v; want code %q", a, err, want)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
