package wire

import "google.golang.org/protobuf/proto"

// Candidate is the deployment as its canary would have it: what the canary runs, with so
// many replicas, under the deployment's name, owner and rules. nil: there is no canary.
func (d *Deployment) Candidate() *Deployment {
	canary := d.GetCanary()
	if canary == nil {
		return nil
	}
	c := proto.CloneOf(d)
	c.Canary, c.LastVersion, c.GivenUp, c.Scale, c.MinPerRegion, c.Replicas = nil, 0, 0, nil, 0, canary.GetReplicas()
	c.Run(canary.GetRuns())
	return c
}

// Run has d run what r does: d is of r's version then. What d shares with r is not to be changed.
func (d *Deployment) Run(r *Deployment) {
	d.Version, d.Model, d.Engine, d.Options, d.Context, d.Slots = r.GetVersion(), r.GetModel(), r.GetEngine(), r.GetOptions(), r.GetContext(), r.GetSlots()
	d.MemoryBytes, d.Gpus, d.Residency, d.Adapters = r.GetMemoryBytes(), r.GetGpus(), r.GetResidency(), r.GetAdapters()
}

// InForce tells whether the version is the deployment's, or its canary's.
func (d *Deployment) InForce(version uint64) bool {
	return version == d.GetVersion() || d.Tries(version)
}

// Tries tells whether the version is the canary's.
func (d *Deployment) Tries(version uint64) bool {
	return d.GetCanary() != nil && version == d.GetCanary().GetRuns().GetVersion()
}

// Newest is the highest version that the deployment was ever given.
func (d *Deployment) Newest() uint64 { return max(d.GetVersion(), d.GetLastVersion()) }
