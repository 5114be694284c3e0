package state

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// The audit log has who changed what. Its entries are records that apply writes
// with the change itself, so no change is without its entry, and every node has
// the same ones. They come with feature level 2: below it a member may be of a build that
// would write none.

const auditLevel = 2

const maxTarget = 2 * maxName // bytes of what an entry is found by, and of an action

// A note is what the audit log will say of one thing.
type note struct {
	action, target, tenant string
	outcome                string // empty: ok
	message                string
	count                  uint32
	before, after          proto.Message // nil: none
}

// auditEnds tells where the audit log begins and ends: its entries are first to
// last, none where last is 0.
type auditEnds struct {
	first, last uint64
	hash        []byte // of the last
}

func (v view) auditEnds() (e auditEnds) {
	low, high := []byte{audits.id}, []byte{audits.id + 1}
	v.walkBetween(low, high, false, func(_, value []byte) bool {
		e.first = audits.decode(value).GetSeq()
		return false
	})
	v.walkBetween(low, high, true, func(_, value []byte) bool {
		last := audits.decode(value)
		e.last, e.hash = last.GetSeq(), last.GetHash()
		return false
	})
	return e
}

// note has the audit log say something beside what the command itself is about.
func (t *tx) note(n note) { t.notes = append(t.notes, n) }

// tally adds to what the command's own entry says.
func (t *tx) tally(what string, n int) {
	if n > 0 {
		t.tallies = append(t.tallies, fmt.Sprintf("%s: %d", what, n))
	}
}

// audit writes what the command has come to, and clears away what is too old.
// about is nil where the command itself has no entry.
func (t *tx) audit(about *subject, r *wire.Result) {
	if t.level() < auditLevel {
		return
	}
	notes := about.noted(r, t.stands, t.tallies, t.notes)
	for _, n := range notes {
		t.write(n)
	}
	if len(notes) > 0 {
		t.retain(len(notes) + atOnce)
	}
}

// write appends one entry to the log.
func (t *tx) write(n note) {
	e := &wire.AuditEntry{
		Seq: t.log.last + 1, Index: t.index, AtMs: t.at,
		Actor: plainText(t.command.GetPrincipal(), maxTarget), From: plainText(t.command.GetFrom(), maxName),
		Action: plainText(n.action, maxTarget), Target: plainText(n.target, maxTarget), Tenant: plainText(n.tenant, maxName),
		Outcome: plainText(n.outcome, maxName), Message: plainText(n.message, maxText), Count: n.count,
		Before: recordJSON(n.before), After: recordJSON(n.after),
		Request: t.command.GetRequestId(), Previous: t.log.hash,
	}
	if e.Outcome == "" {
		e.Outcome = outcomeOK
	}
	e.Hash = auditHash(e)
	audits.put(t, e, nil, false)
	t.log.last, t.log.hash = e.Seq, e.Hash
	if t.log.first == 0 {
		t.log.first = e.Seq
	}
}

const outcomeOK = "ok"

// retain removes up to most of the oldest entries that are too many, or older than
// the setting says. The newest stays: the next follows its hash.
func (t *tx) retain(most int) {
	days, _ := t.value(append([]byte{settingsTable}, spec.SettingAuditKeep...))
	keep, err := strconv.ParseUint(string(days), 10, 16)
	if err != nil {
		keep = 0
	}
	for ; most > 0 && t.log.first < t.log.last; most-- {
		tooMany := t.log.last-t.log.first >= uint64(t.limits.audits)
		if !tooMany && keep == 0 {
			return
		}
		e, ok := audits.get(t.view, string(be(t.log.first)))
		if !tooMany && t.at-e.GetAtMs() <= int64(keep)*(24*time.Hour).Milliseconds() {
			return
		}
		if ok {
			audits.drop(t, e)
		}
		t.log.first++
	}
}

// plainText is at most so many bytes of text, without zero bytes, which end the
// parts of keys.
func plainText(text string, most int) string {
	text = strings.ReplaceAll(text, "\x00", "\ufffd")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// noteAudit writes down what was no change: a log-in that failed, a denial.
func (t *tx) noteAudit(c *wire.NoteAudit) *wire.Result {
	if bad := checkName("the action to note", c.GetAction()); bad != nil {
		return bad
	}
	t.note(note{action: c.GetAction(), target: c.GetTarget(), tenant: c.GetTenant(), outcome: c.GetOutcome(), message: c.GetMessage(), count: c.GetCount()})
	return done(0)
}
