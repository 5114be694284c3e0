package state

import (
	"bytes"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A plain is what the state should be, kept in maps: no keys, no indexes, no
// batches. It knows the commands that the model test makes.
type plain struct {
	nodes      map[string]*wire.Node
	tenants    map[string]*wire.Tenant
	keys       map[string]*wire.APIKey
	deploys    map[string]*wire.Deployment
	retired    map[string]uint64
	placements map[string]*wire.Placement
	models     map[string]*wire.Model
	tokens     map[string]*wire.JoinToken
	secrets    map[string]*wire.Secret
	settings   map[string]string
	answers    map[string]*wire.Result
	changed    map[Ref]bool // by the last command
	plainAccess
}

func newPlain() *plain {
	return &plain{map[string]*wire.Node{}, map[string]*wire.Tenant{}, map[string]*wire.APIKey{}, map[string]*wire.Deployment{},
		map[string]uint64{}, map[string]*wire.Placement{}, map[string]*wire.Model{}, map[string]*wire.JoinToken{},
		map[string]*wire.Secret{}, map[string]string{}, map[string]*wire.Result{}, nil, newPlainAccess()}
}

// apply answers with code, version, index and replayed; the text is the state's own.
func (p *plain) apply(index uint64, c *wire.Command) *wire.Result {
	p.changed = map[Ref]bool{}
	if r, ok := p.answers[c.GetRequestId()]; ok {
		r = proto.CloneOf(r)
		r.Replayed = true
		return r
	}
	code, version := p.audited(index, c)
	r := &wire.Result{Index: index, Code: string(code)}
	if code == "" {
		r.Version = version
	}
	if c.GetRequestId() != "" {
		p.answers[c.GetRequestId()] = r
	}
	return r
}

func (p *plain) touch(kind Kind, id string) { p.changed[Ref{kind, id}] = true }

func (p *plain) carryOut(index uint64, c *wire.Command) (code spec.Code, version uint64) {
	switch b := proto.CloneOf(c).GetBody().(type) {
	case *wire.Command_PutNode:
		return p.putNode(b.PutNode.Node), 0
	case *wire.Command_SetNodeState:
		return p.setNodeState(b.SetNodeState.Id, b.SetNodeState.State), 0
	case *wire.Command_PutTenant:
		b.PutTenant.Tenant.CreatedMs = 1000
		p.tenants[b.PutTenant.Tenant.Id] = b.PutTenant.Tenant
		p.touch(KindTenant, b.PutTenant.Tenant.Id)
		return "", 0
	case *wire.Command_PutKey:
		return p.putKey(b.PutKey.Key, c), 0
	case *wire.Command_RevokeKey:
		k := p.keys[b.RevokeKey.Id]
		if k == nil {
			return spec.CodeNotFound, 0
		}
		if k.RevokedMs == 0 {
			p.endKey(k, c.AtMs)
		}
		return "", 0
	case *wire.Command_PutDeployment:
		return p.putDeployment(b.PutDeployment, c)
	case *wire.Command_RemoveDeployment:
		d := p.deploys[b.RemoveDeployment.Name]
		if d == nil {
			return spec.CodeNotFound, 0
		}
		p.retired[d.Name] = nextVersion(d) - 1
		delete(p.deploys, d.Name)
		p.touch(KindDeployment, d.Name)
		return "", d.Version
	default:
		return p.carryOutRest(index, c)
	}
}

func (p *plain) carryOutRest(index uint64, c *wire.Command) (code spec.Code, version uint64) {
	switch b := proto.CloneOf(c).GetBody().(type) {
	case *wire.Command_PutPlacement:
		return p.putPlacement(b.PutPlacement.Placement, index), index
	case *wire.Command_RemovePlacement:
		pl := p.placements[b.RemovePlacement.Instance]
		if pl == nil {
			return spec.CodeNotFound, 0
		}
		p.unplace(pl)
		return "", pl.Epoch
	case *wire.Command_PutCanary:
		return p.putCanary(index, b.PutCanary, c.AtMs)
	case *wire.Command_EndCanary:
		return p.endCanary(b.EndCanary, c.AtMs)
	case *wire.Command_PutModel:
		p.putModel(b.PutModel.Model, c.AtMs)
		return "", 0
	case *wire.Command_RemoveModel:
		return p.removeModel(b.RemoveModel.Name), 0
	case *wire.Command_PutToken:
		if p.tokens[b.PutToken.Token.Id] != nil {
			return spec.CodeAlreadyExists, 0
		}
		b.PutToken.Token.CreatedMs = c.AtMs
		p.tokens[b.PutToken.Token.Id] = b.PutToken.Token
		p.touch(KindToken, b.PutToken.Token.Id)
		return "", 0
	case *wire.Command_UseToken:
		return p.useToken(b.UseToken.Id, c.AtMs), 0
	case *wire.Command_PutSecret:
		s := b.PutSecret.Secret
		if p.secrets[s.Name].GetVersion() != b.PutSecret.ExpectVersion {
			return spec.CodeConflict, 0
		}
		s.Version = b.PutSecret.ExpectVersion + 1
		p.secrets[s.Name] = s
		p.touch(KindSecret, s.Name)
		return "", s.Version
	case *wire.Command_PutSetting:
		p.settings[b.PutSetting.Name] = b.PutSetting.Value
		p.touch(KindSetting, b.PutSetting.Name)
		return "", 0
	}
	return p.carryOutAccess(c)
}

func (p *plain) putNode(n *wire.Node) spec.Code {
	old := p.nodes[n.Id]
	if old.GetState() == removed && n.JoinedMs <= old.JoinedMs {
		return spec.CodeNodeRemoved
	}
	if n.State == 0 {
		n.State = active
		if old.GetState() == draining {
			n.State = draining
		}
	}
	p.nodes[n.Id] = n
	p.touch(KindNode, n.Id)
	return ""
}

func (p *plain) setNodeState(id string, s wire.NodeState) spec.Code {
	n := p.nodes[id]
	switch {
	case n == nil:
		return spec.CodeNotFound
	case n.State == s:
		return ""
	case n.State == removed:
		return spec.CodeNodeRemoved
	}
	n.State = s
	p.touch(KindNode, id)
	if s == removed {
		for _, pl := range p.placements {
			if pl.Node == id {
				p.unplace(pl)
			}
		}
	}
	return ""
}

func (p *plain) unplace(pl *wire.Placement) {
	delete(p.placements, pl.Instance)
	p.touch(KindPlacement, pl.Instance)
}

func (p *plain) putKey(k *wire.APIKey, c *wire.Command) spec.Code {
	at := c.AtMs
	if p.keys[k.Id] != nil {
		return spec.CodeAlreadyExists
	}
	for _, o := range p.keys {
		if o.Tenant == k.Tenant && o.Name == k.Name && o.RevokedMs == 0 && (o.ExpiresMs == 0 || o.ExpiresMs > at) {
			return spec.CodeAlreadyExists
		}
	}
	if code := p.ownable(k.Owner); code != "" && c.Level >= 2 {
		return code
	}
	k.CreatedMs = at
	p.keys[k.Id] = k
	p.touch(KindKey, k.Id)
	return ""
}

func (p *plain) putDeployment(b *wire.PutDeployment, c *wire.Command) (spec.Code, uint64) {
	d, at := b.Deployment, c.AtMs
	if d.Model != "" && p.models[d.Model] == nil {
		return spec.CodeNotFound, 0
	}
	old := p.deploys[d.Name]
	if old != nil && c.Level >= 2 && old.Tenant != d.Tenant && (!b.Moves || b.From != old.Tenant) {
		return spec.CodeConflict, 0
	}
	d.Version, d.CreatedMs, d.ChangedMs = p.retired[d.Name]+1, at, at
	if old != nil {
		d.Version, d.CreatedMs, d.ChangedMs = old.Version, old.CreatedMs, old.ChangedMs
		if code := p.reran(d, old); code != "" {
			return code, 0
		}
		if proto.Equal(d, old) {
			return "", d.Version
		}
		d.ChangedMs = at
	}
	delete(p.retired, d.Name)
	p.deploys[d.Name] = d
	p.touch(KindDeployment, d.Name)
	return "", d.Version
}

func (p *plain) putPlacement(pl *wire.Placement, index uint64) spec.Code {
	n, old := p.nodes[pl.Node], p.placements[pl.Instance]
	switch {
	case p.deploys[pl.Deployment] == nil || n == nil:
		return spec.CodeNotFound
	case n.State == removed:
		return spec.CodeNodeRemoved
	case old != nil && old.Deployment != pl.Deployment:
		return spec.CodeAlreadyExists
	}
	pl.Epoch = index
	p.placements[pl.Instance] = pl
	p.touch(KindPlacement, pl.Instance)
	return ""
}

func (p *plain) putModel(m *wire.Model, at int64) {
	old := p.models[m.Name]
	m.ImportedMs = at
	p.models[m.Name] = m
	p.touch(KindModel, m.Name)
	if old == nil || bytes.Equal(old.Digest, m.Digest) {
		return
	}
	for _, d := range p.deploys {
		p.remodelled(d, m.Name, at)
	}
}

func (p *plain) removeModel(name string) spec.Code {
	if p.models[name] == nil {
		return spec.CodeNotFound
	}
	for _, d := range p.deploys {
		if d.Model == name || d.Canary != nil && d.Canary.Runs.Model == name {
			return spec.CodeConflict
		}
	}
	delete(p.models, name)
	p.touch(KindModel, name)
	return ""
}

func (p *plain) useToken(id string, at int64) spec.Code {
	k := p.tokens[id]
	switch {
	case k == nil:
		return spec.CodeTokenInvalid
	case k.ExpiresMs != 0 && at >= k.ExpiresMs:
		return spec.CodeTokenExpired
	case k.UsesLeft == 0:
		return spec.CodeTokenExhausted
	}
	k.UsesLeft--
	p.touch(KindToken, id)
	return ""
}

// byName are the values of m in the order of their names.
func byName[T any](m map[string]T) []T {
	var out []T
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
