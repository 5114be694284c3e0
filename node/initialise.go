package node

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/config"
)

// DefaultTenant owns what nobody else owns.
const DefaultTenant = "default"

// authoritySecret names the sealed record of the authority's key.
const authoritySecret = "ca"

// certificateLife is how long a node's certificate is valid; it is renewed long before.
const certificateLife = 365 * 24 * time.Hour

// A Founding is what Init has made.
type Founding struct {
	Cluster  string
	Endpoint string // URL of the node's gateway
	AdminKey string // shown once; only its hash is in the cluster
}

// Init makes a new cluster in the node's data directory, with this node as its
// only member. Nothing runs yet: the first `node run` founds the Raft group and
// writes the first records.
func Init(c config.Config, build string) (*Founding, error) {
	l := layout{c.Node.Data}
	if err := l.claim(c.Node.ID); err != nil {
		return nil, err
	}
	raw := make([]byte, 6+32)
	_, _ = rand.Read(raw) // never fails
	clusterID, gossipKey := "lb-"+hex.EncodeToString(raw[:6]), raw[6:]

	authority, err := pki.NewAuthority(clusterID, time.Now)
	if err != nil {
		return nil, err
	}
	identity, err := certify(l, c, authority)
	if err != nil {
		return nil, err
	}
	sealed, err := pki.Seal(authoritySecret, authority.MarshalKey(), map[string][]byte{c.Node.ID: identity.SealPublic()})
	if err != nil {
		return nil, err
	}
	sealed.Public = authority.Cert.Raw
	text, keyID, hash := auth.NewText()
	now := time.Now().UnixMilli()
	record := nodeRecord(c, build)
	record.SealKey, record.CertSerial = identity.SealPublic(), identity.Leaf().SerialNumber.Text(16)
	record.CertExpiresMs, record.JoinedMs = identity.Leaf().NotAfter.UnixMilli(), now
	first := []*wire.Command{
		{Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: &wire.Tenant{Id: DefaultTenant, Name: DefaultTenant, CreatedMs: now, AuthMaxAgeS: 900}}}},
		{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: sealed}}},
		{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: record}}},
		{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{Id: keyID, Tenant: DefaultTenant, Name: "admin", Hash: hash[:], Scopes: []string{"infer", "admin", "metrics", "topology"}, CreatedMs: now, CreatedBy: "init"}}}},
	}
	founding := &Founding{Cluster: clusterID, Endpoint: endpoint(c), AdminKey: text}
	return founding, l.saveFounding(c, founding, gossipKey, first)
}

func (l layout) saveFounding(c config.Config, f *Founding, gossipKey []byte, first []*wire.Command) error {
	if err := l.saveMembership(membership{Cluster: f.Cluster, GossipKey: gossipKey}); err != nil {
		return err
	}
	if err := l.saveBootstrap(f.Cluster, first); err != nil {
		return err
	}
	if err := client.WriteContext(l.context(), client.Context{Endpoints: []string{f.Endpoint}, Key: f.AdminKey}); err != nil {
		return err
	}
	return l.seal(c)
}

// certify makes the node's keys and has the authority sign them.
func certify(l layout, c config.Config, authority *pki.Authority) (*pki.Identity, error) {
	if err := os.RemoveAll(l.identity()); err != nil { // of an init that did not come to its end
		return nil, err
	}
	identity, err := pki.CreateIdentity(l.identity())
	if err != nil {
		return nil, err
	}
	request, err := identity.CSR()
	if err != nil {
		return nil, err
	}
	certificate, err := authority.Sign(request, pki.SignRequest{ID: spec.NodeID(c.Node.ID), Roles: roles(c), TTL: certificateLife})
	if err != nil {
		return nil, err
	}
	return identity, identity.Install(certificate, authority.Cert.Raw)
}

func roles(c config.Config) []spec.Role {
	out := make([]spec.Role, len(c.Node.Roles))
	for i, r := range c.Node.Roles {
		out[i] = spec.Role(r)
	}
	return out
}

// saveBootstrap keeps the first records until the first run has written them.
// Request ids make writing them twice harmless.
func (l layout) saveBootstrap(cluster string, commands []*wire.Command) error {
	list := make([]json.RawMessage, len(commands))
	for i, c := range commands {
		c.RequestId, c.AtMs, c.Principal, c.Level = fmt.Sprintf("init/%s/%d", cluster, i), time.Now().UnixMilli(), "init", FeatureLevel
		raw, err := protojson.Marshal(c)
		if err != nil {
			return err
		}
		list[i] = raw
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return whole.Write(l.bootstrap(), raw)
}

// loadBootstrap returns no commands where the cluster was founded long ago, or elsewhere.
func (l layout) loadBootstrap() ([]*wire.Command, error) {
	raw, err := os.ReadFile(l.bootstrap())
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", l.bootstrap(), err)
	}
	commands := make([]*wire.Command, len(list))
	for i, raw := range list {
		commands[i] = &wire.Command{}
		if err := protojson.Unmarshal(raw, commands[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", l.bootstrap(), err)
		}
	}
	return commands, nil
}

// nodeRecord is what the state says of this node, as configured.
func nodeRecord(c config.Config, build string) *wire.Node {
	return &wire.Node{
		Id: c.Node.ID, Roles: c.Node.Roles, Region: c.Node.Region, Zone: c.Node.Zone,
		ClusterAddr: advertised(c.Cluster.Advertise, c.Cluster.Listen), ApiAddr: advertised(c.API.Advertise, c.API.Listen),
		State: wire.NodeState_NODE_STATE_ACTIVE, Build: build, Level: FeatureLevel,
	}
}

func advertised(advertise, listen string) string {
	if advertise != "" {
		return advertise
	}
	return listen
}

// endpoint is the URL under which a client on this machine reaches the gateway.
func endpoint(c config.Config) string {
	host, port, err := net.SplitHostPort(advertised(c.API.Advertise, c.API.Listen))
	if err != nil {
		return ""
	}
	if host == "" || strings.Trim(host, "[]:0.") == "" {
		host = "127.0.0.1"
	}
	if c.API.TLSCert != "" {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (l layout) founded() error { return os.Remove(l.bootstrap()) }
