package reconcile

import (
	"context"

	"github.com/google/uuid"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/rollout"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// judge promotes canaries, or gives them up, where that is left to the cluster, and tells whether it has.
func (t *term) judge(ctx context.Context, w placement.Wanted, o placement.Observed) (changed bool) {
	var told map[string]rollout.Trial
	for _, d := range w.Deployments {
		c := d.GetCanary()
		if c.GetVerdict() == nil {
			continue
		}
		if told == nil && t.cfg.Trials != nil {
			told = t.cfg.Trials()
		}
		trial := told[d.GetName()]
		trial.Ready, trial.Broken = standingOf(o, version{d.GetName(), c.GetRuns().GetVersion()})
		verdict, why := rollout.Judge(d, trial, o.Now)
		if verdict == rollout.Wait || t.unsure { // after a write that failed the others would as well
			continue
		}
		changed = t.conclude(ctx, d, verdict == rollout.Promote, why) || changed
	}
	return changed
}

// standingOf counts the instances of the version that serve, and tells whether some have failed.
func standingOf(o placement.Observed, v version) (ready int, broken bool) {
	for _, d := range o.Devices {
		for _, i := range d.Load.GetInstances() {
			if !o.Alive[d.Node] || i.GetDeployment() != v.deployment || i.GetVersion() != v.version {
				continue
			}
			switch i.GetState() {
			case wire.InstanceState_INSTANCE_STATE_READY:
				ready++
			case wire.InstanceState_INSTANCE_STATE_FAILED:
				broken = true
			}
		}
	}
	for key := range o.Failures {
		broken = broken || key.Deployment == v.deployment && key.Version == v.version
	}
	return ready, broken
}

// conclude ends the deployment's canary. A write that fails is decided on anew at the next turn.
func (t *term) conclude(ctx context.Context, d *wire.Deployment, promote bool, why string) bool {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	canary := d.GetCanary().GetRuns().GetVersion()
	result, err := t.cfg.Propose(ctx, &wire.Command{RequestId: uuid.NewString(), AtMs: t.cfg.Clock().UnixMilli(), Principal: "reconciler",
		Body: &wire.Command_EndCanary{EndCanary: &wire.EndCanary{Deployment: d.GetName(), Version: canary, Promote: promote, Reason: why, Revision: d.GetCanary().GetRevision()}}})
	t.unsure = err != nil
	if err == nil && result.GetCode() != "" {
		err = spec.Errorf(spec.Code(result.Code), "%s", result.Message)
	}
	verdict := rollout.GiveUp
	if promote {
		verdict = rollout.Promote
	}
	if err != nil {
		t.cfg.Log.Warn("a canary could not be ended", "deployment", d.GetName(), "version", d.GetVersion(), "canary", canary, "verdict", verdict.String(), "error", err)
		return false
	}
	t.metrics.canaries.WithLabelValues(verdict.String()).Inc()
	t.cfg.Log.Info("a canary was judged", "deployment", d.GetName(), "version", d.GetVersion(), "canary", canary, "verdict", verdict.String(), "because", why)
	return true
}
