package state

import (
	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A tx is the application of one entry: it reads what it has written, and all
// of it comes into force at once. It panics with a fault where the database fails.
type tx struct {
	view
	batch    *pebble.Batch
	index    uint64
	command  *wire.Command // nil: Raft's own entry
	at       int64         // the command's clock, Unix milliseconds
	refs     []Ref
	requests int // remembered
	limits   limits
	floors   floors    // as the entry leaves them
	log      auditEnds // as the entry leaves them
	notes    []note    // for the audit log, beside what the command itself is about
	tallies  []string  // of what the command took along
	stands   bool      // the command is refused, and what it has changed is to stay
}

// beginLocked needs writing.
func (s *Store) beginLocked(index uint64, c *wire.Command) *tx {
	batch := s.db.Pebble().NewIndexedBatch()
	return &tx{
		view: view{batch, generationPrefix(s.mu.generation)}, batch: batch, index: index,
		command: c, at: c.GetAtMs(), requests: s.writing.requests, limits: s.limits, log: s.writing.audit, floors: s.writing.floors,
	}
}

// level is what it takes to apply the entry.
func (t *tx) level() uint64 {
	if t.command == nil {
		return 0
	}
	return uint64(needs(t.command))
}

// run carries the command out, unless its request was answered before, and
// remembers the answer. A command that is refused leaves nothing but that, and its
// entry in the audit log.
func (t *tx) run() *wire.Result {
	if t.command == nil {
		return &wire.Result{Index: t.index}
	}
	id := t.command.GetRequestId()
	if t.command.GetPutUsage() != nil || t.command.GetPutBudgets() != nil { // tells by itself what was counted, and would crowd out the answers of others
		id = ""
	}
	if r, ok := t.remembered(id); ok {
		return r
	}
	if len(id) > maxRequest {
		r := refuse(spec.CodeInvalidRequest, "the request id has %d bytes and may have %d", len(id), maxRequest)
		r.Index = t.index
		return r
	}
	if r := t.outrun(); r != nil {
		return r // nobody remembers it: the same request is asked again
	}
	about := t.subject()
	r := t.dispatch()
	if r.Code != "" && !t.stands {
		t.batch.Reset()
		t.refs, t.notes, t.tallies = nil, nil, nil
	}
	r.Index = t.index
	t.audit(about, r)
	t.remember(id, r)
	return r
}

func (t *tx) set(within, value []byte) { must(t.batch.Set(t.key(within), value, nil)) }

func (t *tx) remove(within []byte) { must(t.batch.Delete(t.key(within), nil)) }

// put writes a record over the one that old is, if there was one.
func (t *table[M]) put(x *tx, m M, old M, existed bool) {
	if existed {
		t.unindex(x, old)
	}
	raw, err := marshal.Marshal(m)
	must(err)
	x.set(t.key(t.name(m)), raw)
	for _, k := range t.indexes(m) {
		x.set(k, nil)
	}
	t.tell(x, m)
}

func (t *table[M]) tell(x *tx, m M) {
	if t.kind != 0 {
		x.refs = append(x.refs, Ref{t.kind, t.name(m)})
	}
}

// drop removes a record.
func (t *table[M]) drop(x *tx, m M) {
	t.unindex(x, m)
	x.remove(t.key(t.name(m)))
	t.tell(x, m)
}

func (t *table[M]) unindex(x *tx, m M) {
	for _, k := range t.indexes(m) {
		x.remove(k)
	}
}

// done answers a command that was carried out.
func done(version uint64) *wire.Result { return &wire.Result{Version: version} }

// dispatch carries the command out. decodeCommand has seen to it that its body is known.
func (t *tx) dispatch() *wire.Result {
	switch b := t.command.GetBody().(type) {
	case *wire.Command_PutNode:
		return t.putNode(given(b.PutNode.GetNode()))
	case *wire.Command_SetNodeState:
		return t.setNodeState(b.SetNodeState)
	case *wire.Command_PutTenant:
		return t.putTenant(given(b.PutTenant.GetTenant()))
	case *wire.Command_PutKey:
		return t.putKey(given(b.PutKey.GetKey()))
	case *wire.Command_RevokeKey:
		return t.revokeKey(b.RevokeKey.GetId())
	case *wire.Command_PutDeployment:
		return t.putDeployment(b.PutDeployment)
	case *wire.Command_RemoveDeployment:
		return t.removeDeployment(b.RemoveDeployment.GetName())
	case *wire.Command_PutPlacement:
		return t.putPlacement(given(b.PutPlacement.GetPlacement()))
	case *wire.Command_RemovePlacement:
		return t.removePlacement(b.RemovePlacement.GetInstance())
	case *wire.Command_PutModel:
		return t.putModel(given(b.PutModel.GetModel()))
	case *wire.Command_RemoveModel:
		return t.removeModel(b.RemoveModel.GetName())
	case *wire.Command_PutToken:
		return t.putToken(given(b.PutToken.GetToken()))
	case *wire.Command_UseToken:
		return t.useToken(b.UseToken)
	case *wire.Command_RevokeToken:
		return t.revokeToken(b.RevokeToken.GetId())
	case *wire.Command_PutSecret:
		return t.putSecret(given(b.PutSecret.GetSecret()), b.PutSecret.GetExpectVersion())
	case *wire.Command_PutSetting:
		return t.putSetting(b.PutSetting)
	}
	return t.dispatchAccess()
}

// dispatchAccess carries out the commands that came after feature level 1.
func (t *tx) dispatchAccess() *wire.Result {
	switch b := t.command.GetBody().(type) {
	case *wire.Command_PutUser:
		return t.putUser(given(b.PutUser.GetUser()), b.PutUser.GetExpectVersion(), b.PutUser.GetEndSessions())
	case *wire.Command_RemoveUser:
		return t.removeUser(b.RemoveUser.GetId())
	case *wire.Command_PutRole:
		return t.putRole(given(b.PutRole.GetRole()), b.PutRole.GetExpectVersion())
	case *wire.Command_RemoveRole:
		return t.removeRole(b.RemoveRole.GetId())
	case *wire.Command_PutBinding:
		return t.putBinding(given(b.PutBinding.GetBinding()))
	case *wire.Command_RemoveBinding:
		return t.removeBinding(b.RemoveBinding.GetId())
	case *wire.Command_PutSession:
		return t.putSession(given(b.PutSession.GetSession()))
	case *wire.Command_RefreshSession:
		return t.refreshSession(given(b.RefreshSession))
	case *wire.Command_RevokeSession:
		return t.revokeSession(given(b.RevokeSession))
	case *wire.Command_NoteAudit:
		return t.noteAudit(given(b.NoteAudit))
	case *wire.Command_ChangeKey:
		return t.changeKey(b.ChangeKey)
	case *wire.Command_RotateKey:
		return t.rotateKey(given(b.RotateKey))
	case *wire.Command_TouchKeys:
		return t.touchKeys(b.TouchKeys.GetUses())
	case *wire.Command_RemoveTenant:
		return t.removeTenant(b.RemoveTenant.GetId())
	case *wire.Command_RemoveSetting:
		return t.removeSetting(b.RemoveSetting.GetName())
	case *wire.Command_PutUsage:
		return t.putUsage(given(b.PutUsage))
	case *wire.Command_PutBudgets:
		return t.putBudgets(given(b.PutBudgets))
	case *wire.Command_PutCanary:
		return t.putCanary(b.PutCanary)
	case *wire.Command_EndCanary:
		return t.endCanary(b.EndCanary)
	}
	panic("state: a command that this build does not carry out came past decodeCommand")
}

// given is the record of a command; one that was left out is an empty one,
// which is refused for its missing name.
func given[T any, M interface {
	*T
	proto.Message
}](m M) M {
	if m == nil {
		return new(T)
	}
	return m
}
