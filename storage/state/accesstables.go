package state

import (
	"encoding/binary"
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
)

// The tables of feature level 2.
var (
	users    = table[*wire.User]{0x0c, KindUser, fresh[wire.User], (*wire.User).GetId, userIndexes}
	roles    = table[*wire.AccessRole]{0x0d, KindRole, fresh[wire.AccessRole], (*wire.AccessRole).GetId, roleIndexes}
	bindings = table[*wire.Binding]{0x0e, KindBinding, fresh[wire.Binding], (*wire.Binding).GetId, bindingIndexes}
	sessions = table[*wire.Session]{0x0f, KindSession, fresh[wire.Session], (*wire.Session).GetId, sessionIndexes}
	audits   = table[*wire.AuditEntry]{0x10, 0, fresh[wire.AuditEntry], auditName, auditIndexes}
)

func userIndexes(u *wire.User) [][]byte {
	out := [][]byte{indexKey(byUserName, folded(u.GetName()), u.GetId()), indexKey(byUserTenant, u.GetTenant(), u.GetId())}
	if u.GetSubject() != "" {
		out = append(out, indexKey(byUserSubject, u.GetIssuer(), u.GetSubject(), u.GetId()))
	}
	return out
}

func roleIndexes(r *wire.AccessRole) [][]byte {
	return [][]byte{indexKey(byRoleTenant, r.GetTenant(), r.GetId())}
}

func bindingIndexes(b *wire.Binding) [][]byte {
	return [][]byte{
		indexKey(byBindingSubject, b.GetSubject(), b.GetId()),
		indexKey(byBindingRole, b.GetRole(), b.GetId()),
		indexKey(byBindingTenant, b.GetTenant(), b.GetId()),
	}
}

func sessionIndexes(s *wire.Session) [][]byte {
	return [][]byte{indexKey(bySessionUser, s.GetUser(), s.GetId()), timedKey(bySessionEnd, sessionEnd(s), s.GetId())}
}

// sessionEnd is when a session ended or will, Unix milliseconds.
func sessionEnd(s *wire.Session) int64 {
	if r := s.GetRevokedMs(); r != 0 {
		return min(r, s.GetExpiresMs())
	}
	return s.GetExpiresMs()
}

// An audit entry's name is its number, so that the table is in their order.
func auditName(e *wire.AuditEntry) string { return string(be(e.GetSeq())) }

func auditIndexes(e *wire.AuditEntry) [][]byte {
	at, name := e.GetAtMs(), auditName(e)
	out := [][]byte{timedKey(byAuditTime, at, name)}
	for _, by := range []struct {
		index byte
		of    string
	}{{byAuditActor, e.GetActor()}, {byAuditTarget, e.GetTarget()}, {byAuditTenant, e.GetTenant()}} {
		if by.of != "" {
			out = append(out, timedKey(by.index, at, name, by.of))
		}
	}
	return out
}

// number reads a record that is one number, 0 for none.
func (v view) number(table byte, name string) uint64 {
	raw, ok := v.value(append([]byte{table}, name...))
	if !ok || len(raw) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

// folded is a name to log in by as names are told apart: without the case of its
// ASCII letters. Other letters stay, so that every build folds alike.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}
