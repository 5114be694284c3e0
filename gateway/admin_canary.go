package gateway

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// canaryPart is what a canary's view and form have in common: its part of the requests, and what it runs.
type canaryPart struct {
	Percent     uint32            `json:"percent"`
	Replicas    uint32            `json:"replicas"`
	Model       string            `json:"model"`
	Engine      string            `json:"engine"`
	Options     map[string]string `json:"options"`
	Context     uint32            `json:"context"`
	Slots       uint32            `json:"slots"`
	MemoryBytes uint64            `json:"memory_bytes"`
}

func partOf(percent, replicas uint32, runs *wire.Deployment) canaryPart {
	return canaryPart{Percent: percent, Replicas: replicas, Model: runs.GetModel(), Engine: runs.GetEngine(), Options: runs.GetOptions(),
		Context: runs.GetContext(), Slots: runs.GetSlots(), MemoryBytes: runs.GetMemoryBytes()}
}

// canaryView is a deployment's canary.
type canaryView struct {
	Version uint64 `json:"version"`
	canaryPart
	residencyView
	verdictForm
	BeganMS int64 `json:"began_ms"`
}

func viewCanary(c *wire.Canary) *canaryView {
	if c == nil {
		return nil
	}
	r := c.GetRuns()
	v := &canaryView{Version: r.GetVersion(), canaryPart: partOf(c.GetPercent(), c.GetReplicas(), r),
		residencyView: viewResidency(r), verdictForm: verdictOf(c.GetVerdict()), BeganMS: c.GetBeganMs()}
	if v.Options == nil {
		v.Options = map[string]string{}
	}
	return v
}

// verdictForm says by what a canary is promoted or given up on its own; after 0 seconds: it is not.
type verdictForm struct {
	JudgeAfter    uint32  `json:"judge_after_seconds"`
	JudgeRequests uint32  `json:"judge_requests"`
	JudgeFailures float64 `json:"judge_failures"`
	JudgeSlower   float64 `json:"judge_slower"`
}

// What a canary is judged by where nothing else is said.
const (
	usualRequests = 50
	usualFailures = 0.02
	usualSlower   = 1.5
)

func verdictOf(v *wire.Verdict) verdictForm {
	return verdictForm{uint32(v.GetAfterMs() / 1000), v.GetRequests(), v.GetFailures(), v.GetSlower()}
}

func (v *verdictForm) check(f *form) {
	f.check(v.JudgeAfter <= maxKeep, "judge_after_seconds", "must be from 0, which has nobody but you judge it, to a year")
	f.check(v.JudgeRequests <= 1_000_000, "judge_requests", "must be from 1 to 1000000; 0 is for 50")
	f.check(v.JudgeFailures >= 0 && v.JudgeFailures <= 1, "judge_failures", "must be a share from 0 to 1; 0 is for 0.02")
	f.check(v.JudgeSlower == 0 || v.JudgeSlower >= 1 && v.JudgeSlower <= 1000, "judge_slower", "must be from 1 to 1000; 0 is for 1.5")
	given := v.JudgeRequests != 0 || v.JudgeFailures != 0 || v.JudgeSlower != 0
	f.check(v.JudgeAfter > 0 || !given, "judge_after_seconds", "is missing: the other fields of judge_ need it")
}

func (v *verdictForm) verdict() *wire.Verdict {
	if v.JudgeAfter == 0 {
		return nil
	}
	out := &wire.Verdict{AfterMs: int64(v.JudgeAfter) * 1000, Requests: v.JudgeRequests, Failures: v.JudgeFailures, Slower: v.JudgeSlower}
	if out.Requests == 0 {
		out.Requests = usualRequests
	}
	if out.Failures == 0 {
		out.Failures = usualFailures
	}
	if out.Slower == 0 {
		out.Slower = usualSlower
	}
	return out
}

// canaryForm is what a client changes of a canary: what it leaves out is as the canary has it,
// or where there is none yet, as the deployment has it.
type canaryForm struct {
	canaryPart
	residencyForm
	verdictForm
}

// usualPercent of the requests are a canary's where nothing else is said.
const usualPercent = 10

// triedBy is what d's canary runs, or where there is none yet, what d does.
func triedBy(d *wire.Deployment) *wire.Deployment {
	if c := d.GetCanary(); c != nil {
		return c.GetRuns()
	}
	return d
}

// canaryFormOf is the form that changes nothing of d's canary, or begins one of what d runs. Its maps are
// left to whole: what a client gives replaces them.
func canaryFormOf(d *wire.Deployment) *canaryForm {
	runs, percent, replicas := triedBy(d), uint32(usualPercent), uint32(1)
	f := &canaryForm{}
	if c := d.GetCanary(); c != nil {
		percent, replicas, f.verdictForm = c.GetPercent(), c.GetReplicas(), verdictOf(c.GetVerdict())
	}
	f.canaryPart = partOf(percent, replicas, runs)
	v := viewResidency(runs)
	f.Options, f.Residency, f.KeepAliveSeconds, f.MinResidentSeconds, f.GPUs = nil, v.Residency, v.KeepAliveSeconds, v.MinResidentSeconds, &v.GPUs
	return f
}

// whole fills in the maps that the client has not given.
func (c *canaryForm) whole(d *wire.Deployment) {
	if c.Options == nil {
		c.Options = triedBy(d).GetOptions()
	}
	if c.Adapters == nil {
		c.Adapters = viewResidency(triedBy(d)).Adapters
	}
}

// deployed is the form of a deployment that runs what the canary is to run.
func (c *canaryForm) deployed(tenant string) *deploymentForm {
	return &deploymentForm{Tenant: tenant, Model: c.Model, Engine: c.Engine, Options: c.Options, Context: c.Context, Slots: c.Slots,
		MemoryBytes: c.MemoryBytes, residencyForm: c.residencyForm}
}

func (c *canaryForm) check(f *form, d *wire.Deployment, g *Gateway) {
	f.check(c.Percent <= 100, "percent", "must be from 0 to 100")
	f.check(c.Replicas >= 1 && c.Replicas <= maxReplicas, "replicas", "must be from 1 to 10000")
	c.verdictForm.check(f)
	runs := c.deployed(d.GetTenant())
	runs.check(f, d.GetName(), g)
	runs.checkModel(f, g)
}

// changeCanary begins a deployment's canary, or changes it.
func changeCanary(r *request) error {
	name := r.param("name")
	old, ok := r.g.cfg.State.Deployment(name)
	if !ok {
		return spec.Errorf(spec.CodeNotFound, "There is no deployment %s.", strconv.Quote(clip(name, 100)))
	}
	ask := canaryFormOf(old)
	f, err := r.decode(ask)
	if err != nil {
		return err
	}
	ask.whole(old)
	if ask.JudgeAfter == 0 && old.GetCanary().GetVerdict() != nil {
		ask.verdictForm = verdictForm{} // somebody decides from now on
	}
	runs := ask.deployed(old.GetTenant())
	if err := r.judge(f, func() {
		ask.check(f, old, r.g)
		if string(r.ctx.QueryArgs().Peek("force")) != "true" {
			runs.checkPresence(f, r.g)
		}
	}); err != nil {
		return err
	}
	runsNow := old
	if c := old.GetCanary(); c != nil && ask.Percent <= c.GetPercent() && (ask.verdict() == nil || proto.Equal(ask.verdict(), c.GetVerdict())) {
		runsNow = triedBy(old)
	}
	if err := r.mayCallOut(runsNow, runs); err != nil {
		return err
	}
	canary := &wire.Canary{Runs: &wire.Deployment{}, Percent: ask.Percent, Replicas: ask.Replicas, Verdict: ask.verdict()}
	canary.Runs.Run(runs.deployment(name))
	r.merges = true
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutCanary{PutCanary: &wire.PutCanary{Deployment: name, Canary: canary, ExpectRevision: old.GetCanary().GetRevision()}}})
	if err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Deployment(name); ok && now.Tries(res.GetVersion()) {
		return r.json(200, viewDeployment(now))
	}
	lags := proto.CloneOf(old) // this node's copy does
	canary.Runs.Version, lags.Canary = res.GetVersion(), canary
	return r.json(200, viewDeployment(lags))
}

// promoteCanary has a deployment run what its canary runs.
func promoteCanary(r *request) error { return endCanary(r, true) }

// removeCanary gives a deployment's canary up.
func removeCanary(r *request) error { return endCanary(r, false) }

func endCanary(r *request, promote bool) error {
	name := r.param("name")
	old, ok := r.g.cfg.State.Deployment(name)
	if !ok || old.GetCanary() == nil {
		return spec.Errorf(spec.CodeNotFound, "There is no canary of a deployment %s.", strconv.Quote(clip(name, 100)))
	}
	runs := old.GetCanary().GetRuns()
	if promote {
		if err := r.mayCallOut(old, &deploymentForm{Engine: runs.GetEngine(), Options: runs.GetOptions()}); err != nil {
			return err
		}
	}
	r.merges = !promote // which is of what the caller has seen
	version := runs.GetVersion()
	res, err := r.propose(&wire.Command{Body: &wire.Command_EndCanary{EndCanary: &wire.EndCanary{Deployment: name, Version: version, Promote: promote}}})
	if err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Deployment(name); ok && !now.Tries(version) {
		return r.json(200, viewDeployment(now))
	}
	lags := proto.CloneOf(old) // this node's copy does
	if promote {
		lags.Run(old.GetCanary().GetRuns())
	}
	lags.Canary, lags.Version = nil, res.GetVersion()
	return r.json(200, viewDeployment(lags))
}
