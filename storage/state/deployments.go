package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// putDeployment creates or changes a deployment. Its version begins at 1, rises
// with each change of what runs, and after a removal goes on from where it was:
// a version names the same thing for ever.
func (t *tx) putDeployment(c *wire.PutDeployment) *wire.Result {
	d := given(c.GetDeployment())
	if bad := checkName("the deployment's name", d.GetName()); bad != nil {
		return bad
	}
	if bad := t.checkAdapters(d); bad != nil {
		return bad
	}
	if d.GetModel() != "" {
		if _, ok := models.get(t.view, d.GetModel()); !ok {
			return refuse(spec.CodeNotFound, "there is no model %q to deploy", d.GetModel())
		}
	}
	old, exists := deploys.get(t.view, d.GetName())
	if !exists {
		d.Canary, d.LastVersion, d.GivenUp = nil, 0, 0
		d.Version = t.retiredVersion(d.GetName()) + 1
		d.CreatedMs, d.ChangedMs = t.at, t.at
		t.remove(retiredKey(d.GetName()))
		deploys.put(t, d, nil, false)
		return done(d.Version)
	}
	if was := old.GetTenant(); was != d.GetTenant() && t.command.GetLevel() >= 2 && !(c.GetMoves() && c.GetFrom() == was) {
		return refuse(spec.CodeConflict, "deployment %s belongs to another owner now", d.GetName())
	}
	d.Version, d.CreatedMs, d.ChangedMs = old.GetVersion(), old.GetCreatedMs(), old.GetChangedMs()
	d.Canary, d.LastVersion, d.GivenUp = old.GetCanary(), old.GetLastVersion(), old.GetGivenUp()
	if proto.Equal(d, old) {
		return done(d.Version)
	}
	rerun(d, old)
	if c := d.GetCanary(); c != nil {
		if bad := t.checkCanary(d, c); bad != nil {
			return bad
		}
	}
	d.ChangedMs = t.at
	deploys.put(t, d, old, true)
	return done(d.Version)
}

// checkAdapters refuses adapters whose names are another deployment's, or of another
// deployment's adapters: clients use both as models' names. A deployment that is
// made later has its name all the same; gateways let deployments' own names win.
func (t *tx) checkAdapters(d *wire.Deployment) *wire.Result {
	if len(d.GetAdapters()) == 0 {
		return nil
	}
	taken := map[string]bool{d.GetName(): true}
	for _, other := range deploys.all(t.view) {
		if other.GetName() == d.GetName() {
			continue
		}
		taken[other.GetName()] = true
		for _, a := range other.GetAdapters() {
			taken[a.GetName()] = true
		}
	}
	for _, a := range d.GetAdapters() {
		if bad := checkName("the adapter's name", a.GetName()); bad != nil {
			return bad
		}
		if _, ok := models.get(t.view, a.GetModel()); !ok {
			return refuse(spec.CodeNotFound, "there is no model %q for the adapter %s", a.GetModel(), a.GetName())
		}
		if taken[a.GetName()] {
			return refuse(spec.CodeAlreadyExists, "the adapter's name %s is taken", a.GetName())
		}
		taken[a.GetName()] = true
	}
	return nil
}

// runsAlike tells whether instances of a may serve for b.
func runsAlike(a, b *wire.Deployment) bool {
	return a.GetModel() == b.GetModel() && a.GetEngine() == b.GetEngine() && maps.Equal(a.GetOptions(), b.GetOptions()) &&
		a.GetContext() == b.GetContext() && a.GetSlots() == b.GetSlots() && a.GetMemoryBytes() == b.GetMemoryBytes() &&
		max(a.GetGpus(), 1) == max(b.GetGpus(), 1) && proto.Equal(a.GetResidency(), b.GetResidency()) &&
		slices.EqualFunc(a.GetAdapters(), b.GetAdapters(), func(x, y *wire.Adapter) bool { return proto.Equal(x, y) })
}

// removeDeployment removes a deployment. Its placements stay until the
// reconciler has stopped what runs there.
func (t *tx) removeDeployment(name string) *wire.Result {
	d, ok := deploys.get(t.view, name)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no deployment %q", name)
	}
	deploys.drop(t, d)
	t.set(retiredKey(name), be(d.Newest()))
	return done(d.GetVersion())
}

func retiredKey(name string) []byte { return append([]byte{retiredTable}, name...) }

// retiredVersion is the last version of a removed deployment, or 0.
func (v view) retiredVersion(name string) uint64 {
	raw, ok := v.value(retiredKey(name))
	if !ok {
		return 0
	}
	if len(raw) != 8 {
		must(fmt.Errorf("the last version of deployment %q has %d bytes", name, len(raw)))
	}
	return binary.BigEndian.Uint64(raw)
}

// putPlacement places an instance; its epoch is the entry's index. An instance
// stays what it is: it may be given a later epoch, and no other deployment.
func (t *tx) putPlacement(p *wire.Placement) *wire.Result {
	for _, n := range []struct{ field, name string }{
		{"the instance", p.GetInstance()}, {"the placement's node", p.GetNode()}, {"the placement's device", p.GetDevice()},
	} {
		if bad := checkName(n.field, n.name); bad != nil {
			return bad
		}
	}
	if _, ok := deploys.get(t.view, p.GetDeployment()); !ok {
		return refuse(spec.CodeNotFound, "there is no deployment %q to place", p.GetDeployment())
	}
	n, ok := nodes.get(t.view, p.GetNode())
	switch {
	case !ok:
		return refuse(spec.CodeNotFound, "there is no node %q to place on", p.GetNode())
	case n.GetState() == removed:
		return refuse(spec.CodeNodeRemoved, "node %s was removed from the cluster", p.GetNode())
	}
	old, exists := placements.get(t.view, p.GetInstance())
	if exists && old.GetDeployment() != p.GetDeployment() {
		return refuse(spec.CodeAlreadyExists, "instance %s is one of deployment %s", p.GetInstance(), old.GetDeployment())
	}
	p.Epoch = t.index
	placements.put(t, p, old, exists)
	return done(p.Epoch)
}

func (t *tx) removePlacement(instance string) *wire.Result {
	p, ok := placements.get(t.view, instance)
	if !ok {
		return refuse(spec.CodeNotFound, "instance %q is not placed", instance)
	}
	placements.drop(t, p)
	return done(p.GetEpoch())
}

// putModel makes a model known, or changes it. Deployments of a model whose
// content has changed run something else: their versions rise.
func (t *tx) putModel(m *wire.Model) *wire.Result {
	if bad := checkModel(m); bad != nil {
		return bad
	}
	if m.GetImportedMs() == 0 {
		m.ImportedMs = t.at
	}
	old, exists := models.get(t.view, m.GetName())
	models.put(t, m, old, exists)
	if !exists || bytes.Equal(old.GetDigest(), m.GetDigest()) {
		return done(0)
	}
	for _, d := range deploys.all(t.view) {
		if !uses(d, m.GetName()) {
			continue
		}
		newest := d.Newest()
		if runs(d, m.GetName()) {
			newest++
			d.Version = newest
		}
		if c := d.GetCanary(); c != nil {
			if runs(c.GetRuns(), m.GetName()) {
				newest++
				d.GivenUp = c.GetRuns().GetVersion()
				c.Runs.Version, c.BeganMs = newest, t.at
			}
			d.LastVersion = newest
		}
		d.ChangedMs = t.at
		deploys.put(t, d, d, true)
	}
	return done(0)
}

// uses tells whether the deployment, or its canary, runs the model.
func uses(d *wire.Deployment, model string) bool {
	return runs(d, model) || d.GetCanary() != nil && runs(d.GetCanary().GetRuns(), model)
}

// runs tells whether what d runs is the model, or has it for an adapter.
func runs(d *wire.Deployment, model string) bool {
	return d.GetModel() == model || slices.ContainsFunc(d.GetAdapters(), func(a *wire.Adapter) bool { return a.GetModel() == model })
}

func checkModel(m *wire.Model) *wire.Result {
	if bad := checkName("the model's name", m.GetName()); bad != nil {
		return bad
	}
	if len(m.GetDigest()) != hashBytes {
		return refuse(spec.CodeInvalidRequest, "the model's digest has %d bytes and must have %d", len(m.GetDigest()), hashBytes)
	}
	chunks := uint64(0)
	if size, chunk := m.GetSize(), uint64(m.GetChunkSize()); size > 0 && chunk > 0 {
		chunks = (size-1)/chunk + 1
	}
	if uint64(len(m.GetChunks())) != chunks {
		return refuse(spec.CodeInvalidRequest, "the model has the digests of %d chunks and is cut into %d", len(m.GetChunks()), chunks)
	}
	for i, c := range m.GetChunks() {
		if len(c) != hashBytes {
			return refuse(spec.CodeInvalidRequest, "the digest of chunk %d has %d bytes and must have %d", i, len(c), hashBytes)
		}
	}
	return nil
}

// removeModel forgets a model that no deployment names.
func (t *tx) removeModel(name string) *wire.Result {
	m, ok := models.get(t.view, name)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no model %q", name)
	}
	for _, d := range deploys.all(t.view) {
		if uses(d, name) {
			return refuse(spec.CodeConflict, "deployment %s runs model %s: remove it first", d.GetName(), name)
		}
	}
	models.drop(t, m)
	return done(0)
}
