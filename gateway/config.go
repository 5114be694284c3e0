package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
)

// Config of a Gateway. The parts that are named required have no default.
type Config struct {
	Self    spec.NodeID // required
	Region  string
	Version string // of the build, for /healthz

	Proposer  Proposer    // required
	State     StateReader // required
	Subscribe func(fn func(Change)) (cancel func())
	Opener    spec.Opener // required
	Quota     Quota       // nil: this gateway's own share of each limit is all there is
	Models    Models      // nil: no imports
	Tokens    Tokens      // nil: no join tokens
	Cluster   Cluster     // nil: no operations on nodes
	Barrier   Barrier     // nil: no linearizable reads
	Backups   Backups     // nil: none
	Engines   []string    // presets that every node knows; nil: not told
	// CheckEngine tells what no node could run of a deployment; its Param names the
	// field. It knows the form alone of presets that some node may have beside Engines.
	// nil: nothing is checked, and there are no others.
	CheckEngine func(d *wire.Deployment) error
	// HasEngine tells whether a living node can run the preset, and whether all of them
	// have told which they have; nil: nobody knows.
	HasEngine func(preset string) (some, told bool)
	// UnknownOptions lists those of the options, in order, that the preset has on no living node, where all
	// that have it tell their options; nil: nobody knows.
	UnknownOptions func(preset string, options map[string]string) []string
	Records        UsageRecords               // nil: this gateway reads none
	Usage          UsageSink                  // nil: counted in metrics only
	RegionOf       func(n spec.NodeID) string // nil: Region, whoever serves

	// ClusterID is the audience of access tokens. Empty: none is let in.
	ClusterID string
	Sessions  Sessions // nil: nobody can log in here
	// Seal encrypts a secret to those who may open it. nil: none can be set here.
	Seal func(name string, plain []byte) (*wire.Secret, error)
	// Proxies are those whose X-Forwarded-For tells the client's address.
	Proxies []netip.Prefix
	// TLS is how clients are met; nil: without.
	TLS *tls.Config
	// Origins are those of web pages that may use the API from browsers; * is all.
	Origins []string
	// Credentials lets browsers send cookies with their requests; not for *.
	Credentials bool
	// PublicURL is where browsers reach the gateway, without a path. Empty: http, or https under TLS, and
	// the address that the request came to.
	PublicURL string
	// VerifyAudit tells what does not fit in a run of successive entries of the audit
	// log. nil: nobody is told.
	VerifyAudit func(entries []*wire.AuditEntry) error

	// Applied waits shortly for an entry to be applied everywhere and names the
	// members that have not told so. nil: nobody is waited for or named.
	Applied func(ctx context.Context, index uint64) (lagging []spec.NodeID)
	// Gateways is how many gateways are alive, this one included. nil: 1.
	Gateways func() int
	// Ready says why the node is not ready to serve, or nil. nil: always ready.
	Ready func() error

	// Disk says why the node cannot write to its disk, or nil. It serves all the same,
	// and readiness and status tell of it. nil: it always can.
	Disk func() error
	// Sound says why admin reads may not be answered from this node's copy of the
	// state, or nil. nil: they always may.
	Sound func() error
	// Hash is that of the whole state, and the index that it is of. nil: nobody is told.
	Hash func() (sum []byte, index uint64)

	Registerer prometheus.Registerer // required
	Gatherer   prometheus.Gatherer   // required: what /metrics shows
	Log        *slog.Logger          // required

	MaxBody      int           // bytes of an inference or admin body; 0: 32 MB
	Bodies       int64         // bytes of large bodies and answers held at a time; 0: 256 MB, or four of MaxBody
	MaxModel     int64         // bytes of an imported model; 0: 1 TB
	ReadTimeout  time.Duration // of a request's head, and for which a body may stand still; 0: 20 s
	WriteTimeout time.Duration // for which an answer may stand still; 0: 60 s
	MinRate      int           // bytes a second that bodies must come at, and answers be taken at, beyond these times; 0: 4 KB
	IdleTimeout  time.Duration // of a connection without a request; 0: 90 s
	MaxDuration  time.Duration // of an inference request; 0: 30 min
	Connections  int           // at a time; 0: 16,384

	Balance balance.Config // Region is taken from above
	// The relay's limits; 0: its defaults.
	FirstByte, Between, Whole, WriteStall, PingAfter time.Duration
	Tries                                            int
}

func (c *Config) complete() error {
	if c.Self == "" || c.Proposer == nil || c.State == nil || c.Opener == nil || c.Registerer == nil || c.Gatherer == nil || c.Log == nil {
		return errors.New("gateway: Self, Proposer, State, Opener, Registerer, Gatherer and Log are required")
	}
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&c.ReadTimeout, 20*time.Second)
	or(&c.WriteTimeout, 60*time.Second)
	or(&c.IdleTimeout, 90*time.Second)
	or(&c.MaxDuration, 30*time.Minute)
	if c.MaxBody == 0 {
		c.MaxBody = 32 << 20
	}
	if c.Bodies == 0 {
		c.Bodies = max(256<<20, 4*int64(c.MaxBody))
	}
	c.Bodies = max(c.Bodies, int64(c.MaxBody)+pieceSize)
	if c.MinRate == 0 {
		c.MinRate = 4 << 10
	}
	if c.MaxModel == 0 {
		c.MaxModel = 1 << 40
	}
	if c.Connections == 0 {
		c.Connections = 16 << 10
	}
	if c.Subscribe == nil {
		c.Subscribe = func(func(Change)) func() { return func() {} }
	}
	if c.Gateways == nil {
		c.Gateways = func() int { return 1 }
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	if c.Disk == nil {
		c.Disk = func() error { return nil }
	}
	if c.Sound == nil {
		c.Sound = func() error { return nil }
	}
	if c.Quota == nil {
		c.Quota = noQuota{}
	}
	c.Balance.Region = c.Region
	return nil
}
