package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Kind is a kind of record.
type Kind uint8

// The kinds. They are this process's own and go nowhere.
const (
	KindNode Kind = iota + 1
	KindTenant
	KindKey
	KindDeployment
	KindPlacement
	KindModel
	KindToken
	KindSecret
	KindSetting
	KindUser
	KindRole
	KindBinding
	KindSession
)

// A Ref names one record.
type Ref struct {
	Kind Kind
	ID   string
}

// A table is where the records of one kind are.
type table[M proto.Message] struct {
	id      byte // part of the format on disk and of snapshots
	kind    Kind // 0: a change of it tells nobody
	fresh   func() M
	name    func(M) string
	indexes func(M) [][]byte // keys of the secondary entries that M has
}

var (
	nodes      = table[*wire.Node]{0x01, KindNode, fresh[wire.Node], (*wire.Node).GetId, none[*wire.Node]}
	tenants    = table[*wire.Tenant]{0x02, KindTenant, fresh[wire.Tenant], (*wire.Tenant).GetId, none[*wire.Tenant]}
	apiKeys    = table[*wire.APIKey]{0x03, KindKey, fresh[wire.APIKey], (*wire.APIKey).GetId, keyIndexes}
	deploys    = table[*wire.Deployment]{0x04, KindDeployment, fresh[wire.Deployment], (*wire.Deployment).GetName, deploymentIndexes}
	placements = table[*wire.Placement]{0x05, KindPlacement, fresh[wire.Placement], (*wire.Placement).GetInstance, placementIndexes}
	models     = table[*wire.Model]{0x06, KindModel, fresh[wire.Model], (*wire.Model).GetName, none[*wire.Model]}
	tokens     = table[*wire.JoinToken]{0x07, KindToken, fresh[wire.JoinToken], (*wire.JoinToken).GetId, none[*wire.JoinToken]}
	secrets    = table[*wire.Secret]{0x08, KindSecret, fresh[wire.Secret], (*wire.Secret).GetName, none[*wire.Secret]}
)

// Tables whose values are no messages.
const (
	settingsTable = 0x09 // name -> value
	requestsTable = 0x0a // request id -> proposer's clock (8 bytes), Result
	retiredTable  = 0x0b // name of a removed deployment -> its last version (8 bytes)
	goneTable     = 0x11 // id of a removed user -> index of the entry that removed it (8 bytes)
	usesTable     = 0x12 // id of an API key -> when it was last used, Unix milliseconds (8 bytes)
	lossesTable   = 0x13 // user:ID, key:ID, or * for all -> index of the entry that last took some permission away (8 bytes)
	tallyTable    = 0x16 // period of usage (4 bytes) -> how many sums there are, and from when on none was dropped, Unix milliseconds (8 bytes each)
)

func fresh[T any]() *T { return new(T) }

func none[M proto.Message](M) [][]byte { return nil }

func keyIndexes(k *wire.APIKey) [][]byte {
	out := [][]byte{indexKey(byTenant, k.GetTenant(), k.GetId())}
	if k.GetOwner() != "" {
		out = append(out, indexKey(byKeyOwner, k.GetOwner(), k.GetId()))
	}
	if k.GetRevokedMs() == 0 {
		out = append(out, indexKey(byKeyName, k.GetTenant(), k.GetName(), k.GetId()))
		if k.GetExpiresMs() > 0 {
			out = append(out, expiryKey(k.GetExpiresMs(), k.GetId()))
		}
	}
	return out
}

func expiryKey(ms int64, id string) []byte {
	return append(append([]byte{byExpiry}, be(uint64(ms))...), id...)
}

func deploymentIndexes(d *wire.Deployment) [][]byte {
	out := [][]byte{indexKey(byDeploymentTenant, d.GetTenant(), d.GetName())}
	if d.GetModel() != "" {
		out = append(out, indexKey(byModel, d.GetModel(), d.GetName()))
	}
	return out
}

func placementIndexes(p *wire.Placement) [][]byte {
	return [][]byte{indexKey(byNode, p.GetNode(), p.GetInstance())}
}

// A section is one table as snapshots know it: check verifies a record and
// returns the keys of its secondary entries.
type section func(name, value []byte) (indexes [][]byte, err error)

// sections has every table. What is not in it is in no snapshot.
var sections = map[byte]section{
	nodes.id: nodes.check, tenants.id: tenants.check, apiKeys.id: apiKeys.check, deploys.id: deploys.check,
	placements.id: placements.check, models.id: models.check, tokens.id: tokens.check, secrets.id: secrets.check,
	users.id: users.check, roles.id: roles.check, bindings.id: bindings.check, sessions.id: sessions.check, audits.id: audits.check,
	settingsTable: func([]byte, []byte) ([][]byte, error) { return nil, nil },
	requestsTable: checkRequest,
	retiredTable:  checkNumber, goneTable: checkNumber, usesTable: checkNumber, lossesTable: checkNumber,
	usage.id: usage.check, ledgers.id: ledgers.check, tallyTable: checkTally,
	budgets.id: budgets.check,
}

// checkNumber checks a record that is one number.
func checkNumber(_, value []byte) ([][]byte, error) {
	if len(value) != 8 {
		return nil, errors.New("want a number of 8 bytes")
	}
	return nil, nil
}

var errName = errors.New("the record is not the one that its key names")

func (t *table[M]) check(name, value []byte) ([][]byte, error) {
	m := t.fresh()
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, err
	}
	if t.name(m) != string(name) {
		return nil, errName
	}
	indexes := t.indexes(m)
	for _, k := range indexes {
		if len(k) > maxKey {
			return nil, fmt.Errorf("an index entry has %d bytes", len(k))
		}
	}
	return indexes, nil
}

func checkRequest(name, value []byte) ([][]byte, error) {
	_, r, err := decodeRequest(value)
	if err != nil {
		return nil, err
	}
	return [][]byte{requestAgeKey(r.GetIndex(), string(name))}, nil
}

// A request's answer is remembered with the clock of the proposer, which tells its age.
func encodeRequest(at int64, r *wire.Result) ([]byte, error) {
	return marshal.MarshalAppend(be(uint64(at)), r)
}

func decodeRequest(raw []byte) (at int64, r *wire.Result, err error) {
	if len(raw) < 8 {
		return 0, nil, errors.New("want a clock of 8 bytes")
	}
	r = &wire.Result{}
	return int64(binary.BigEndian.Uint64(raw)), r, proto.Unmarshal(raw[8:], r)
}

func requestAgeKey(index uint64, id string) []byte {
	return append(append([]byte{byAge}, be(index)...), id...)
}

// marshal writes the same bytes for the same record on every node.
var marshal = proto.MarshalOptions{Deterministic: true}
