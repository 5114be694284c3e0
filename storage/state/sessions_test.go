package state

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestSessions(t *testing.T) {
	r := staffed(t)
	got, _ := r.Session("s1")
	checkRecord(t, got, &wire.Session{Id: "s1", User: "ann", Method: "password", FamilyHash: sum("f"), RefreshHash: sum("1"), Generation: 1,
		CreatedMs: 1000, RefreshedMs: 1000, ExpiresMs: 900_000_000, From: "10.0.0.9", Agent: "cli"})
	r.denied(t, spec.CodeAlreadyExists, putSession("s1", "bob", 9000))
	r.denied(t, spec.CodeNotFound, putSession("s9", "none", 9000))
	r.denied(t, spec.CodeInvalidRequest, putSession("s9", "ann", 1000)) // would have ended
	r.denied(t, spec.CodeInvalidRequest, putSession("", "ann", 9000))
	r.denied(t, spec.CodeInvalidRequest, putSession("s9", "", 9000))
	short := putSession("s9", "ann", 9000)
	short.GetPutSession().Session.RefreshHash = []byte("x")
	r.denied(t, spec.CodeInvalidRequest, short)
}

// TestRefreshing: a token is good once, but the same exchange may be told again
// for ten seconds; one that is used again ends the session although the answer
// is a refusal.
func TestRefreshing(t *testing.T) {
	r := staffed(t)
	seq, _ := r.AuditHead()
	if res := r.ok(t, at(2000, refresh("s1", "f", "1", "2"))); res.GetVersion() != 2 {
		t.Errorf("the refresh answers generation %d", res.GetVersion())
	}
	s, _ := r.Session("s1")
	if s.GetGeneration() != 2 || !bytes.Equal(s.GetRefreshHash(), sum("2")) || !bytes.Equal(s.GetPreviousHash(), sum("1")) ||
		s.GetRefreshedMs() != 2000 || s.GetFrom() != "10.0.0.10" || s.GetAgent() != "cli2" || s.GetExpiresMs() != 900_000_000 {
		t.Fatalf("the session is %v", s)
	}
	before := r.unlogged()
	if res := r.ok(t, at(12_000, refresh("s1", "f", "1", "2"))); res.GetVersion() != 2 {
		t.Errorf("the refresh told again answers generation %d", res.GetVersion())
	}
	if !bytes.Equal(before, r.unlogged()) {
		t.Error("the refresh told again has changed the session")
	}
	if now, _ := r.AuditHead(); now != seq {
		t.Error("refreshes that succeed are in the audit log")
	}
	r.denied(t, spec.CodeInvalidRefresh, refresh("s1", "g", "2", "3"))
	r.denied(t, spec.CodeInvalidRefresh, refresh("s9", "f", "2", "3"))
	r.denied(t, spec.CodeInvalidRequest, refresh("s1", "f", "2", "2"))
	r.ok(t, at(13_000, refresh("s1", "f", "2", "3")))
	for i, reuse := range []*wire.Command{
		at(13_000, refresh("s1", "f", "1", "2")), // two exchanges ago
		at(12_001, refresh("s2", "f", "1", "2")), // too late
		at(2_001, refresh("s3", "f", "1", "3")),  // for another next token
	} {
		id := fmt.Sprint("s", i+1)
		if i > 0 {
			r.ok(t, at(2000, refresh(id, "f", "1", "2")))
		}
		var told []Ref
		cancel := r.Subscribe(func(c Change) { told = c.Records })
		res := r.do(t, reuse)
		cancel()
		s, _ := r.Session(id)
		if res.GetCode() != string(spec.CodeSessionReused) || s.GetRevokedMs() != reuse.GetAtMs() || len(told) != 1 || told[0] != (Ref{KindSession, id}) {
			t.Fatalf("session %s: %v, told %v, and it is %v", id, res, told, s)
		}
		list, _ := r.Audit(AuditFilter{Newest: true}, "", 1)
		if e := list[0]; e.GetAction() != "sessions.reuse" || e.GetOutcome() != string(spec.CodeSessionReused) || e.GetBefore() == e.GetAfter() || e.GetAfter() == "" {
			t.Errorf("the audit log says %v", e)
		}
		r.denied(t, spec.CodeSessionEnded, at(14_000, refresh(id, "f", "3", "4")))
	}
	checkIndexes(t, "afterwards", r.Store)
}

// TestReuseIsAnsweredAgain: the refusal is remembered as any answer is.
func TestReuseIsAnsweredAgain(t *testing.T) {
	r := staffed(t)
	r.ok(t, refresh("s1", "f", "1", "2"))
	r.ok(t, refresh("s1", "f", "2", "3"))
	c := refresh("s1", "f", "1", "2")
	c.RequestId = "again"
	first := r.do(t, c)
	seq, _ := r.AuditHead()
	again := r.do(t, c)
	if now, _ := r.AuditHead(); again.GetCode() != string(spec.CodeSessionReused) || !again.GetReplayed() || again.GetIndex() != first.GetIndex() || now != seq {
		t.Errorf("answered %v and then %v, with %d more entries in the audit log", first, again, now-seq)
	}
}

func TestExpiredSession(t *testing.T) {
	r := staffed(t)
	r.ok(t, putSession("s9", "ann", 5000))
	r.ok(t, at(4999, refresh("s9", "f", "1", "2")))
	r.denied(t, spec.CodeSessionEnded, at(5000, refresh("s9", "f", "2", "3")))
}

func TestRevokingSessions(t *testing.T) {
	r := staffed(t)
	r.ok(t, putSession("s4", "ann", 1500))
	r.denied(t, spec.CodeNotFound, revokeSession("none", ""))
	r.denied(t, spec.CodeNotFound, revokeSession("s1", "bob"))
	r.denied(t, spec.CodeNotFound, revokeSession("", "none"))
	r.denied(t, spec.CodeInvalidRequest, revokeSession("", ""))
	r.ok(t, at(2000, revokeSession("s1", "")))
	for _, again := range []*wire.Command{at(3000, revokeSession("s1", "ann")), at(3000, revokeSession("", "ann")), at(4000, revokeSession("", "ann"))} {
		r.ok(t, again)
	}
	for id, ended := range map[string]int64{"s1": 2000, "s2": 3000, "s3": 0, "s4": 0} { // s4 had expired
		if s, _ := r.Session(id); s.GetRevokedMs() != ended || (ended != 0) != (s.GetReason() == "logged out") {
			t.Errorf("session %s: %v", id, s)
		}
	}
	list, _ := r.Audit(AuditFilter{Target: "user:ann", Newest: true}, "", 2)
	if list[0].GetMessage() != "logged out" || list[1].GetMessage() != "logged out; sessions ended: 1" || list[1].GetTenant() != "acme" {
		t.Errorf("the audit log says %v", list)
	}
	checkIndexes(t, "afterwards", r.Store)
}

// TestEndedSessionsAreForgotten a day after their end, some at a time, by the
// clocks of the commands.
func TestEndedSessionsAreForgotten(t *testing.T) {
	r := staffed(t)
	day := (24 * time.Hour).Milliseconds()
	for i := range atOnce + 3 {
		r.ok(t, putSession(fmt.Sprint("x", i), "bob", 5000))
	}
	r.ok(t, at(6000, revokeSession("s1", "")))
	count := func() int {
		page, _ := r.Sessions("", 100)
		return len(page)
	}
	was := count()
	r.ok(t, at(5000+day, putSession("y1", "bob", 5000+2*day)))
	if got := count(); got != was+1 {
		t.Fatalf("%d sessions in the last moment, want %d", got, was+1)
	}
	r.ok(t, at(5001+day, refresh("y1", "f", "1", "2")))
	if got := count(); got != was+1-atOnce {
		t.Fatalf("%d sessions after one command, want %d", got, was+1-atOnce)
	}
	r.ok(t, at(6000+day, refresh("y1", "f", "2", "3")))
	if _, ok := r.Session("s1"); !ok || count() != was+1-atOnce-3 {
		t.Fatalf("%d sessions after the next, want %d with s1", count(), was+1-atOnce-3)
	}
	r.ok(t, at(6001+day, refresh("y1", "f", "3", "4")))
	if _, ok := r.Session("s1"); ok {
		t.Error("the revoked session is still known")
	}
	for _, id := range []string{"s2", "s3", "y1"} {
		if _, ok := r.Session(id); !ok {
			t.Errorf("session %s is in force and forgotten", id)
		}
	}
	checkIndexes(t, "afterwards", r.Store)
}
