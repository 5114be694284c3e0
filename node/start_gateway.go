package node

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/certificate"
	"github.com/lotabots/lotabots/storage/state"
)

// startGateway opens the API to clients.
func (n *Node) startGateway(context.Context) error {
	if n.config.API.Listen == "" {
		return nil
	}
	ledger, err := n.openLedger()
	if err != nil {
		return err
	}
	read := reading{Store: n.state, age: n.stateAge}
	c := gateway.Config{
		Self: n.id, Region: n.config.Node.Region, Version: n.version,
		Proposer: n.proposer, State: read, Subscribe: read.subscribe, Opener: n, Quota: n,
		Models: modelFiles{n}, Tokens: tokens{n}, Cluster: operations{n}, Engines: new(engine.Presets).Names(), CheckEngine: checkEngine, HasEngine: n.hasEngine, UnknownOptions: n.unknownOptions,
		Applied: n.awaitApplied, Gateways: n.sharers, Ready: n.ready.check, Disk: n.db.Health,
		Barrier: n, Backups: backups{n}, Sound: n.hashes.sound, Hash: n.state.Hash,
		Usage: ledger, Records: records{n}, RegionOf: n.regionOf,
		ClusterID: n.member.Cluster, Sessions: n.issuer(), Seal: n.sealed, VerifyAudit: state.VerifyAudit,
		Origins: n.config.API.Origins, Credentials: n.config.API.Credentials,
		Proxies: proxies(n.config.API.Proxies), PublicURL: n.config.API.PublicURL,
		Registerer: n.metrics, Gatherer: n.metrics, Log: n.log,
		MaxBody: n.config.API.MaxBody, Bodies: int64(n.config.API.BodyMemory), MinRate: n.config.API.MinRate, FirstByte: n.config.API.FirstToken, Between: n.config.API.NextToken,
		Balance: balance.Config{QueueTimeout: n.config.API.QueueTimeout, LoadTimeout: n.config.API.LoadTimeout, Reserve: n.reserve},
	}
	if err := n.certify(&c); err != nil {
		return err
	}
	if n.gateway, err = gateway.New(c); err != nil {
		return err
	}
	n.routing.Store(n.gateway)
	n.introduce(n.self())
	for _, m := range n.gossip.Members() {
		n.introduce(m)
	}
	listener, err := net.Listen("tcp", n.config.API.Listen)
	if err != nil {
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(err, n.gateway.Shutdown(closing))
	}
	n.background("demand", n.tellDemands)
	n.background("api listener", func(context.Context) {
		if err := n.gateway.Serve(listener); err != nil {
			n.log.Error("the API has ended", "error", err)
		}
	})
	n.onStop("gateway", n.endGateway) // ends Serve, so that the listener's goroutine can be waited for
	return nil
}

// certify has the API speak TLS, where the configuration names a certificate.
func (n *Node) certify(c *gateway.Config) error {
	if n.config.API.TLSCert == "" && n.config.API.TLSKey == "" {
		return nil
	}
	k, err := certificate.Open(certificate.Config{Cert: n.config.API.TLSCert, Key: n.config.API.TLSKey, Registerer: n.metrics, Log: n.log})
	if err != nil {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "api.tls-cert", Message: "The API cannot be served: " + err.Error() + ".", Err: err,
			Hint: "Correct api.tls-cert and api.tls-key, or leave both out to serve without TLS"}
	}
	c.TLS = k.TLS()
	n.certificate.Store(k)
	n.background("api certificate", k.Run)
	return nil
}

// introduce makes a living member one that the gateway routes to.
func (n *Node) introduce(m gossip.Member) {
	if g := n.routing.Load(); g != nil {
		g.Table().PutMember(balance.Member{Node: m.ID, Region: m.Region})
	}
}

func (n *Node) self() gossip.Member {
	return gossip.Member{ID: n.id, Roles: roles(n.config), Region: n.config.Node.Region, Zone: n.config.Node.Zone}
}

// gateways counts the living gateways, this one included.
func (n *Node) gateways() int {
	return max(1, n.gossip.Count(spec.RoleGateway))
}

// tokens makes join tokens for the gateway's admin API.
type tokens struct{ n *Node }

func (t tokens) Create(ctx context.Context, role spec.Role, ttl time.Duration, uses int) (string, *wire.JoinToken, error) {
	text, record, err := pki.NewToken(role, ttl, uses, t.n.identity.Authority().Raw, time.Now)
	if err != nil {
		return "", nil, err
	}
	if err := t.n.write(ctx, &wire.Command{Body: &wire.Command_PutToken{PutToken: &wire.PutToken{Token: record}}}); err != nil {
		return "", nil, err
	}
	return text, record, nil
}

// checkEngine tells what no node could run, without asking any.
func checkEngine(d *wire.Deployment) error {
	err := engine.CheckDeployment(d.GetEngine(), d.GetOptions(), d.GetContext(), d.GetSlots())
	if err == nil && len(d.GetAdapters()) > 0 {
		err = engine.CheckAdapters(d.GetEngine(), d.GetOptions())
	}
	return err
}
