package state

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// canary changes the canary of that revision.
func canary(revision uint64, percent uint32, change func(*wire.Deployment)) *wire.Command {
	runs := &wire.Deployment{Engine: "embedded", Model: "tiny", Name: "not", Tenant: "told", Version: 99}
	change(runs)
	return &wire.Command{Level: 6, AtMs: 2000, Body: &wire.Command_PutCanary{PutCanary: &wire.PutCanary{
		Deployment: "chat", ExpectRevision: revision, Canary: &wire.Canary{Runs: runs, Percent: percent, Replicas: 1}}}}
}

func endCanary(version uint64, promote bool) *wire.Command {
	return &wire.Command{Level: 6, AtMs: 3000, Body: &wire.Command_EndCanary{EndCanary: &wire.EndCanary{Deployment: "chat", Version: version, Promote: promote}}}
}

// TestCanaryVersions: what a canary runs has a version of its own, which it keeps when it is
// promoted, and which nothing else gets when it is given up.
func TestCanaryVersions(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putModel("tiny", "d"))
	plain := func(context uint32) *wire.Command {
		return deploy(&wire.Deployment{Name: "chat", Engine: "embedded", Model: "tiny", Replicas: 1, Context: context})
	}
	context := func(n uint32) func(*wire.Deployment) { return func(d *wire.Deployment) { d.Context = n } }
	now := func(version, tried uint64) *wire.Deployment {
		t.Helper()
		d, _ := r.Deployment("chat")
		if d.GetVersion() != version || d.GetCanary().GetRuns().GetVersion() != tried {
			t.Fatalf("version %d with a canary of %d, want %d and %d", d.GetVersion(), d.GetCanary().GetRuns().GetVersion(), version, tried)
		}
		return d
	}
	refused := func(c *wire.Command, code spec.Code) {
		t.Helper()
		before, _ := r.Deployment("chat")
		if res := r.do(t, c); res.GetCode() != string(code) {
			t.Fatalf("%q (%s), want %s", res.GetCode(), res.GetMessage(), code)
		}
		after, _ := r.Deployment("chat")
		if before.String() != after.String() {
			t.Fatalf("%v became %v", before, after)
		}
	}
	refused(canary(0, 10, context(512)), spec.CodeNotFound)
	r.ok(t, plain(0))
	refused(canary(0, 10, context(0)), spec.CodeInvalidRequest)
	refused(canary(0, 101, context(512)), spec.CodeInvalidRequest)
	refused(canary(1, 10, context(512)), spec.CodeConflict)
	refused(canary(0, 10, func(d *wire.Deployment) { d.Model = "other" }), spec.CodeNotFound)
	refused(canary(0, 10, func(d *wire.Deployment) { d.Adapters = []*wire.Adapter{{Name: "a", Model: "tiny"}} }), spec.CodeInvalidRequest)

	if res := r.ok(t, canary(0, 10, context(512))); res.GetVersion() != 2 {
		t.Fatalf("the canary is of version %d", res.GetVersion())
	}
	if d := now(1, 2); d.GetCanary().GetRuns().GetName() != "" || d.GetCanary().GetBeganMs() != 2000 || d.Candidate().GetContext() != 512 || d.Candidate().GetName() != "chat" {
		t.Fatalf("%v", d)
	}
	revision := func() uint64 { d, _ := r.Deployment("chat"); return d.GetCanary().GetRevision() }
	first := revision()
	r.ok(t, canary(first, 50, context(512)))
	if revision() == first || first == 0 {
		t.Fatalf("the revision is %d and then %d", first, revision())
	}
	refused(canary(first, 20, context(512)), spec.CodeConflict) // who has read what it was
	if d := now(1, 2); d.GetCanary().GetPercent() != 50 {
		t.Fatalf("%v", d)
	}
	refused(canary(0, 50, context(512)), spec.CodeConflict)
	refused(endCanary(1, true), spec.CodeConflict)
	r.ok(t, plain(0)) // what says the same leaves the canary
	now(1, 2)
	r.ok(t, canary(revision(), 50, context(600)))
	now(1, 3)
	r.ok(t, endCanary(3, false))
	if d := now(1, 0); d.GetGivenUp() != 3 {
		t.Fatalf("%v", d)
	}
	refused(endCanary(3, false), spec.CodeConflict)
	r.ok(t, canary(0, 5, context(512)))
	now(1, 4)
	r.ok(t, plain(700))
	now(5, 4)
	r.ok(t, canary(revision(), 6, context(512)))
	now(5, 4)
	r.ok(t, endCanary(4, true))
	if d := now(4, 0); d.GetContext() != 512 {
		t.Fatalf("%v", d)
	}
	r.ok(t, canary(0, 5, context(100)))
	now(4, 6)
	r.ok(t, plain(100)) // a document that says what the canary runs promotes it
	now(6, 0)
	r.ok(t, canary(0, 5, context(200)))
	r.ok(t, undeploy("chat"))
	r.ok(t, plain(0))
	now(8, 0)
}

// TestCanaryOfAnotherModel: a canary's model cannot be removed, and one whose content changes is another version.
func TestCanaryOfAnotherModel(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putModel("tiny", "d"))
	r.ok(t, putModel("next", "e"))
	r.ok(t, deploy(&wire.Deployment{Name: "chat", Engine: "embedded", Model: "tiny", Replicas: 1}))
	r.ok(t, canary(0, 10, func(d *wire.Deployment) { d.Model = "next" }))
	if res := r.do(t, &wire.Command{Level: 1, AtMs: 1, Body: &wire.Command_RemoveModel{RemoveModel: &wire.RemoveModel{Name: "next"}}}); res.GetCode() != string(spec.CodeConflict) {
		t.Fatalf("%v", res)
	}
	for i, step := range []struct {
		model         string
		version, next uint64
	}{{"next", 1, 3}, {"tiny", 4, 3}, {"next", 4, 5}} {
		r.ok(t, putModel(step.model, string(rune('f'+i))))
		if d, _ := r.Deployment("chat"); d.GetVersion() != step.version || d.GetCanary().GetRuns().GetVersion() != step.next || d.Newest() != max(step.version, step.next) {
			t.Fatalf("after %s: %v", step.model, d)
		}
	}
	have, _ := r.Deployment("chat")
	r.ok(t, canary(have.GetCanary().GetRevision(), 20, func(d *wire.Deployment) { d.Model = "tiny"; d.Context = 9 }))
	if d, _ := r.Deployment("chat"); d.GetCanary().GetRuns().GetVersion() != 6 {
		t.Fatalf("%v", d)
	}
}
