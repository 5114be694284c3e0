package actors

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Config is what a node's actors are given. What has no note must be set.
type Config struct {
	Node    spec.NodeID
	Region  string // of this node; a call that is not allowed here is rejected
	Boot    uint64 // Unix ms at which the process started; in every digest
	Address string // host:port of the cluster port, under which other nodes reach the actors

	// ServerTLS serves, ClientTLS dials the protocol "actor": mutual TLS among
	// members whose certificates have the node's id as common name and its roles as
	// organisational units. Both must check the certificates.
	ServerTLS *tls.Config
	ClientTLS func() *tls.Config
	// RemoteAddr is where another node's cluster port is.
	RemoteAddr func(spec.NodeID) (string, bool)
	// PeerRoles tells a node's roles. A command needs a role both here and in the
	// certificate. Nil: the certificate alone counts.
	PeerRoles func(spec.NodeID) []spec.Role
	// Splice has the cluster port hand connections for "actor" over, untouched, to
	// this loopback address.
	Splice func(loopback string)
	// Dial connects to another node's cluster port; nil: plain TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// BlobPath brings a model's file here, from other nodes if need be, and tells on the way which part of it is, 0 to 1.
	BlobPath func(ctx context.Context, load *wire.LoadModel, told func(part float64)) (string, error)
	// Revoked tells whether the key is no longer in force; nil: none is revoked.
	Revoked func(key string) bool
	// Digest takes load digests, each fit for one datagram. Calls come from one
	// goroutine. Nil: nobody is told.
	Digest func(*wire.LoadDigest)

	// Granted takes a place that is kept for a gateway's request, of this node's or
	// another's. Calls come from the devices' actors; it must not block. Nil: none is kept.
	Granted func(spec.Lease)

	Devices Devices
	Engines Engines
	RunDir  string // for engines' sockets and logs; exists
	Faults  string // file that keeps which devices are in quarantine; empty: that ends with the process
	Learnt  string // file that keeps what models were measured to take; empty: nothing is kept

	AnswerBytes int // of kept answers, at each device; 0: none is kept

	Quota      quota.Config    // of the limits that this node owns
	Policy     instance.Policy // zero: defaults
	Log        *slog.Logger    // nil: silent
	Registerer prometheus.Registerer
}

// Devices says what the node computes on.
type Devices struct {
	Kind      string // auto, nvidia, cpu, simulated, none
	Simulated int    // number of simulated devices
	MemoryMB  int    // of a simulated device, or at most of the CPU; 0: as much as there is
	Faults    *device.Faults
	FaultFile string // JSON that makes simulated devices ill; empty: none
}

// Engines says which engines the node may run. Empty paths are looked up.
type Engines struct {
	Helper       string
	Libraries    string
	Ollama       string
	LlamaServer  string
	VLLM         string
	SGLang       string
	Triton       string
	Presets      []custom.Preset
	Models       string           // directory of the node's own models; empty: none
	Shim         []string         // starts what holds an engine's process, as in engine.Config
	ExternalURLs []string         // allowed prefixes
	Linger       time.Duration    // how long an engine waits for the node's next process; 0: not at all
	User         *account.Account // whom engines run as, as in engine.Config; nil: whoever runs the node
	Egress       egress.Policy
}

const (
	discoverTimeout = 30 * time.Second
	commandTimeout  = 10 * time.Second // of a command whose caller sets no deadline
	heartbeat       = 500 * time.Millisecond
)

func (c *Config) check() error {
	switch {
	case c.Node.Valid() != nil:
		return c.Node.Valid()
	case c.Address == "":
		return errors.New("actors need the address of the cluster port")
	case c.ServerTLS == nil || c.ClientTLS == nil:
		return errors.New("actors need the TLS configurations of the cluster port")
	case c.RemoteAddr == nil || c.Splice == nil || c.BlobPath == nil:
		return errors.New("actors need RemoteAddr, Splice and BlobPath")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	if c.Digest == nil {
		c.Digest = func(*wire.LoadDigest) {}
	}
	if c.Revoked == nil {
		c.Revoked = func(string) bool { return false }
	}
	return nil
}
