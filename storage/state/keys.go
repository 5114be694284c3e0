package state

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// Keys of the state machine, after storage.State:
//
//	0x00                                the generation in force, 8 bytes
//	0x01 generation(8) 0x00             position: applied index, its term, level; 8 bytes each
//	0x01 generation(8) table name       a record; tables are below 0x80
//	0x01 generation(8) index ...        entries of secondary indexes, without a value
//
// A restored snapshot is written as the next generation while the one in force
// is read and written, and comes into force by one key. Numbers are big-endian.
// Names have no zero byte, which ends them where more follows.
const (
	pointerMark    = 0x00
	generationMark = 0x01
	positionMark   = 0x00
	firstIndex     = 0x80

	byTenant  = 0x81 // tenant 0 key: keys of a tenant
	byKeyName = 0x82 // tenant 0 name 0 key: keys that were not revoked
	byNode    = 0x83 // node 0 instance: placements on a node
	byAge     = 0x84 // index(8) request: remembered requests
	byExpiry  = 0x85 // milliseconds(8) key: keys that will expire and were not revoked
	byModel   = 0x86 // model 0 deployment: deployments that run a model

	byKeyOwner         = 0x87 // user 0 key: keys that a user owns, revoked ones included
	byUserName         = 0x88 // name in lower case 0 user
	byUserSubject      = 0x89 // issuer 0 subject 0 user: users that log in at a provider
	byUserTenant       = 0x8a // tenant 0 user
	byRoleTenant       = 0x8b // tenant 0 role
	byBindingSubject   = 0x8c // subject 0 binding
	byBindingRole      = 0x8d // role 0 binding
	byBindingTenant    = 0x8e // tenant 0 binding
	bySessionUser      = 0x8f // user 0 session
	bySessionEnd       = 0x90 // milliseconds(8) session: when it expires, or was revoked
	byDeploymentTenant = 0x91 // tenant 0 deployment
	byAuditTime        = 0x92 // milliseconds(8) seq(8): the audit log, as the next three
	byAuditActor       = 0x93 // actor 0 milliseconds(8) seq(8)
	byAuditTarget      = 0x94 // target 0 milliseconds(8) seq(8)
	byAuditTenant      = 0x95 // tenant 0 milliseconds(8) seq(8)
	byUsageTenant      = 0x96 // tenant 0 name of a sum of usage, as the next two
	byUsageKey         = 0x97 // key 0 name
	byUsageDeployment  = 0x98 // deployment 0 name
)

var pointerKey = storage.State.Key([]byte{pointerMark})

// generationPrefix begins every key of a generation.
func generationPrefix(generation uint64) []byte {
	return storage.State.Key([]byte{generationMark}, be(generation))
}

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// after is the first key that does not begin with prefix, or nil if there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// timedKey is the key, within a generation, of an entry of an index that is in
// the order of a time, Unix milliseconds, after the parts.
func timedKey(index byte, ms int64, name string, parts ...string) []byte {
	key := []byte{index}
	for _, p := range parts {
		key = append(append(key, p...), 0)
	}
	return append(append(key, be(uint64(max(ms, 0)))...), name...)
}

// indexKey is the key, within a generation, of an entry of a secondary index.
func indexKey(index byte, parts ...string) []byte {
	return append([]byte{index}, strings.Join(parts, "\x00")...)
}

const (
	maxName    = 256 // bytes
	maxRequest = 512
)

// checkName refuses what cannot be a part of a key.
func checkName(field, name string) *wire.Result {
	switch {
	case name == "":
		return refuse(spec.CodeInvalidRequest, "%s is missing", field)
	case len(name) > maxName:
		return refuse(spec.CodeInvalidRequest, "%s has %d bytes and may have %d", field, len(name), maxName)
	case strings.ContainsRune(name, 0):
		return refuse(spec.CodeInvalidRequest, "%s has a zero byte", field)
	}
	return nil
}

// refuse answers a command that changes nothing.
func refuse(code spec.Code, format string, args ...any) *wire.Result {
	return &wire.Result{Code: string(code), Message: fmt.Sprintf(format, args...)}
}
