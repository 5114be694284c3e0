package state

import (
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A gateway decides by its own copy of the state whether somebody may write. That
// copy may be older than the loss of the permission, and without more the write
// would come after it in the log: one who was shut out could so let himself in
// again. So the state keeps when something was last taken from whom, and a command
// that was decided on before that is refused. The gateway catches up and decides anew.

// everybody is whom a loss concerns of which it is not told apart who has it: a
// role's permissions, a group's binding, all sessions.
const everybody = "*"

// takes notes that something was taken from the subject: user:ID, key:ID or
// group:NAME. Below level 2 a member may be of a build that would not.
func (t *tx) takes(subject string) {
	if t.command.GetLevel() < 2 {
		return
	}
	if kind, _ := subjectOf(subject); kind == "group" {
		subject = everybody
	}
	t.set(append([]byte{lossesTable}, subject...), be(t.index))
}

// outrun refuses a command that was decided on before its principal lost something.
func (t *tx) outrun() *wire.Result {
	seen := t.command.GetSeen()
	if seen == 0 || t.command.GetLevel() < 2 {
		return nil
	}
	for _, subject := range t.standsOn() {
		if lost := t.number(lossesTable, subject); lost > seen {
			r := refuse(spec.CodeStaleState, "who may write was decided by the state at index %d, and %s lost something at %d", seen, subject, lost)
			r.Index = t.index
			return r
		}
	}
	return nil
}

// standsOn are the subjects by whose permissions the command's principal may do
// what it may.
func (t *tx) standsOn() []string {
	kind, id, _ := strings.Cut(t.command.GetPrincipal(), "/")
	switch kind {
	case "user":
		return []string{everybody, "user:" + id}
	case "key":
		out := []string{everybody, "key:" + id}
		if k, ok := apiKeys.get(t.view, id); ok && k.GetOwner() != "" {
			out = append(out, "user:"+k.GetOwner())
		}
		return out
	}
	return nil // a part of the cluster
}
