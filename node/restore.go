package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/storage/backup"
	"github.com/lotabots/lotabots/storage/state"
)

// A Restored is what Restore has made.
type Restored struct {
	From     backup.Manifest
	At       uint64   // the index that was restored
	Undone   []Undone // of what the backup has beyond that
	Writes   int      // that it has beyond that
	Cluster  string   // the new one's id
	Index    uint64   // that the new cluster goes on from
	Endpoint string   // URL of the node's gateway
	AdminKey string   // a new one, if it was asked for; shown once
	Removed  []string
	Models   []string // whose files must be imported again
}

// Restore makes a new cluster in the node's empty data directory, with this node
// as its only member, whose state is that of the backup at the point. Nothing runs
// afterwards.
//
// The backup is read twice: before anything is restored, all of it is known to be
// whole. At its last index the state is the backup's, by hash, or Restore fails, for
// an earlier point too. On top of the restored state come the entries that make the
// cluster a new one, and only these: the old nodes are removed, with all placements;
// join tokens are revoked; the session epoch rises; the authority's key is a new
// one, sealed to this node; this node's record; an admin key, with admin. Everything else is as it was: tenants, keys and revocations,
// deployments, models, settings, answers to requests.
//
// Where it returns an error, the directory is as empty as before.
func Restore(c config.Config, file io.ReadSeeker, at backup.Point, keys []backup.Identity, build string, admin bool, logs io.Writer) (r *Restored, err error) {
	l := layout{c.Node.Data}
	if !hasVoter(c) {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "node.roles", Message: "The first node of a cluster must have the role voter."}
	}
	if err := l.claim(c.Node.ID); err != nil {
		return nil, err
	}
	if err := l.vacate(); err != nil {
		return nil, err
	}
	if err := l.begin("restore"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.clear(), l.finish())
		}
	}()
	r = &Restored{Endpoint: endpoint(c)}
	if err := l.restoreState(c, file, at, keys, build, admin, r, logs); err != nil {
		return nil, err
	}
	known := client.Context{Endpoints: []string{r.Endpoint}, Key: r.AdminKey}
	if err := client.WriteContext(l.context(), known); err != nil {
		return nil, err
	}
	if err := l.finish(); err != nil {
		return nil, err
	}
	return r, l.seal(c)
}

func hasVoter(c config.Config) bool {
	for _, r := range roles(c) {
		if r == spec.RoleVoter {
			return true
		}
	}
	return false
}

// vacate removes what a restore that was cut off has left, and refuses a
// directory with anything else of a node's.
func (l layout) vacate() error {
	command, err := l.underWay()
	if err != nil {
		return err
	}
	if command == "restore" {
		return l.clear()
	}
	for _, path := range []string{l.database(), l.snapshots(), l.identity(), l.membership(), l.bootstrap()} {
		if _, err := os.Lstat(path); err == nil {
			return &spec.Error{
				Code: spec.CodeAlreadyExists, Message: path + " is there already: a restore needs an empty directory.",
				Hint: "Give another --data, or move what is there away",
			}
		}
	}
	return nil
}

// clear removes all that a restore makes.
func (l layout) clear() error {
	var failed []error
	for _, path := range []string{l.database(), l.rehearsal(), l.snapshots(), l.identity(), l.membership(), l.context()} {
		failed = append(failed, os.RemoveAll(path))
	}
	return errors.Join(failed...)
}

// restoreState brings the database to the state that the new cluster begins with.
//
// Of states before its last, a backup has no hash. So all of it is applied once,
// aside, and the end held against the hash that it has; it tells what is undone too.
func (l layout) restoreState(c config.Config, file io.ReadSeeker, at backup.Point, keys []backup.Identity, build string, admin bool, r *Restored, logs io.Writer) error {
	var err error
	if r.From, r.At, err = backup.Find(file, at, keys...); err != nil {
		return err
	}
	restore := func(end *state.Store) error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		from, err := backup.NewReader(file, keys...)
		if err != nil {
			return err
		}
		defer from.Close()
		g, err := l.openGround(c, offlineLogger(logs, c))
		if err != nil {
			return err
		}
		return errors.Join(l.replay(g, from, end, c, build, admin, r), g.close())
	}
	if r.At == r.From.Index {
		return restore(nil)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err = backup.Rehearse(l.rehearsal(), file, restore, keys...); err != nil {
		return err
	}
	return os.RemoveAll(l.rehearsal())
}

// replay restores, and makes the cluster a new one. end is the backup's last
// state, or nil where that is the one to restore.
func (l layout) replay(g *ground, from *backup.Reader, end *state.Store, c config.Config, build string, admin bool, r *Restored) (err error) {
	if r.Writes, err = from.Into(g.state, r.At); err != nil {
		return err
	}
	if end != nil {
		r.Undone = undone(g.state, end)
	}
	renewed, err := l.renew(c, build, admin, g, r)
	if err != nil {
		return err
	}
	r.Index, err = consensus.StandAlone(g.Ground, 0, func() ([]*wire.Command, error) { return renewed, nil })
	return err
}

// renew makes what must be new, and returns the commands that bring it into the state.
func (l layout) renew(c config.Config, build string, admin bool, g *ground, r *Restored) ([]*wire.Command, error) {
	raw := make([]byte, 6+32)
	_, _ = rand.Read(raw) // never fails
	r.Cluster = "lb-" + hex.EncodeToString(raw[:6])
	authority, err := pki.NewAuthority(r.Cluster, time.Now)
	if err != nil {
		return nil, err
	}
	identity, err := certify(l, c, authority)
	if err != nil {
		return nil, err
	}
	if err := l.saveMembership(membership{Cluster: r.Cluster, GossipKey: raw[6:]}); err != nil {
		return nil, err
	}
	sealed, err := pki.Seal(authoritySecret, authority.MarshalKey(), map[string][]byte{c.Node.ID: identity.SealPublic()})
	if err != nil {
		return nil, err
	}
	sealed.Public = authority.Cert.Raw
	old, _ := g.state.Secret(authoritySecret)
	now := time.Now()
	out := append(g.forsake(r), g.endSessions(now))
	out = append(out, &wire.Command{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: sealed, ExpectVersion: old.GetVersion()}}})
	self := nodeRecord(c, build)
	self.SealKey, self.CertSerial = identity.SealPublic(), identity.Leaf().SerialNumber.Text(16)
	before, _ := g.state.Node(self.Id)
	self.CertExpiresMs, self.JoinedMs = identity.Leaf().NotAfter.UnixMilli(), max(now.UnixMilli(), before.GetJoinedMs()+1)
	out = append(out, &wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: self}}})
	if admin {
		text, id, hash := auth.NewText()
		r.AdminKey = text
		out = append(out, &wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{
			Id: id, Tenant: DefaultTenant, Name: "admin of " + r.Cluster, Hash: hash[:], Scopes: []string{"infer", "admin", "metrics", "topology"}, CreatedMs: now.UnixMilli(), CreatedBy: "restore",
		}}}})
	}
	return ofLevel(FeatureLevel, stamped(out, "restore", now)), nil
}

// forsake are the commands that take the old cluster's machines out of the state.
func (g *ground) forsake(r *Restored) []*wire.Command {
	var out []*wire.Command
	gone := map[string]bool{}
	for _, n := range g.state.Nodes() {
		gone[n.GetId()] = true // with what is placed there
		if n.GetState() != wire.NodeState_NODE_STATE_REMOVED {
			r.Removed = append(r.Removed, n.GetId())
			out = append(out, removal(n.GetId()))
		}
	}
	for _, p := range g.state.Placements() {
		if !gone[p.GetNode()] {
			out = append(out, &wire.Command{Body: &wire.Command_RemovePlacement{RemovePlacement: &wire.RemovePlacement{Instance: p.GetInstance(), Reason: "the cluster was restored"}}})
		}
	}
	for _, t := range g.state.Tokens() {
		if t.GetRevokedMs() == 0 {
			out = append(out, &wire.Command{Body: &wire.Command_RevokeToken{RevokeToken: &wire.RevokeToken{Id: t.GetId()}}})
		}
	}
	for _, m := range g.state.Models() {
		r.Models = append(r.Models, m.GetName())
	}
	return out
}
