package node

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/join"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/config"
)

// Join makes the node a member of the cluster that answers at seed (host:port of
// any member's cluster port), under the token. Nothing runs afterwards. An
// attempt that failed may be repeated: the node's keys are kept.
func Join(ctx context.Context, c config.Config, seed, token, build string) error {
	l := layout{c.Node.Data}
	if err := l.claim(c.Node.ID); err != nil {
		return err
	}
	identity, err := pki.OpenIdentity(l.identity())
	if errors.Is(err, os.ErrNotExist) {
		identity, err = pki.CreateIdentity(l.identity())
	}
	if err != nil {
		return err
	}
	record := nodeRecord(c, build)
	member := &wire.Member{
		Id: record.Id, Roles: record.Roles, Region: record.Region, Zone: record.Zone, ClusterAddr: record.ClusterAddr,
		ApiAddr: record.ApiAddr, SealKey: identity.SealPublic(), Build: build, Level: FeatureLevel,
	}
	answer, err := join.Request(ctx, join.RequestConfig{Seed: seed, Token: token, Identity: identity, Member: member, Clock: time.Now})
	if err != nil {
		return err
	}
	if answer.Code != "" {
		return &spec.Error{Code: spec.Code(answer.Code), Message: answer.Message}
	}
	if err := identity.Install(answer.Certificate, answer.Authority); err != nil {
		return err
	}
	m := membership{Cluster: answer.ClusterId, GossipKey: answer.GossipKey}
	for _, p := range answer.Members {
		if p.Id != c.Node.ID {
			m.Peers = append(m.Peers, peer{ID: p.Id, Address: p.ClusterAddr, Voter: slices.Contains(p.Roles, string(spec.RoleVoter))})
		}
	}
	if err := l.saveMembership(m); err != nil {
		return err
	}
	return l.seal(c)
}
