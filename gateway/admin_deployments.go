package gateway

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// maxName bounds names of deployments and models.
const maxName = 128

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

const nameRule = "must be 1 to 128 of letters, digits, '.', '_', ':' and '-', beginning with a letter or digit"

type deploymentView struct {
	Name         string            `json:"name"`
	Tenant       string            `json:"tenant"`
	Version      uint64            `json:"version"`
	Model        string            `json:"model"`
	Engine       string            `json:"engine"`
	Options      map[string]string `json:"options"`
	Replicas     uint32            `json:"replicas"`
	MinPerRegion uint32            `json:"min_per_region"`
	Regions      []string          `json:"regions"`
	Context      uint32            `json:"context"`
	Slots        uint32            `json:"slots"`
	MemoryBytes  uint64            `json:"memory_bytes"`
	residencyView
	rescueView
	placingView
	cacheForm
	limitsForm
	priceForm
	scaleForm
	Canary    *canaryView `json:"canary"` // null: there is none
	CreatedMS int64       `json:"created_ms"`
	ChangedMS int64       `json:"changed_ms"`
}

func viewDeployment(d *wire.Deployment) deploymentView {
	v := deploymentView{Name: d.GetName(), Tenant: d.GetTenant(), Version: d.GetVersion(), Model: d.GetModel(), Engine: d.GetEngine(),
		Options: d.GetOptions(), Replicas: d.GetReplicas(), MinPerRegion: d.GetMinPerRegion(), Regions: some(d.GetRegions()),
		Context: d.GetContext(), Slots: d.GetSlots(), MemoryBytes: d.GetMemoryBytes(), residencyView: viewResidency(d), rescueView: viewRescue(d), cacheForm: viewCache(d), placingView: viewPlacing(d), limitsForm: limitsOf(d.GetLimits()), priceForm: priceOf(d.GetPrice()), scaleForm: scaleOf(d.GetScale()), Canary: viewCanary(d.GetCanary()), CreatedMS: d.GetCreatedMs(), ChangedMS: d.GetChangedMs()}
	if v.Options == nil {
		v.Options = map[string]string{}
	}
	return v
}

func listDeployments(r *request) error {
	read := r.g.cfg.State
	return lists(r, access.DeploymentsRead, listing[*wire.Deployment, deploymentView]{
		id: (*wire.Deployment).GetName, show: viewDeployment,
		walk: func(cursor string, limit int) ([]*wire.Deployment, string) {
			return read.DeploymentsPage("", cursor, limit)
		},
		in: func(tenant string) walk[*wire.Deployment] {
			return func(cursor string, limit int) ([]*wire.Deployment, string) {
				return read.DeploymentsOf(tenant, cursor, limit)
			}
		},
		sees: func(d *wire.Deployment) bool { return r.who.May(access.DeploymentsRead, deploymentResource(d)) },
	})
}

func deploymentResource(d *wire.Deployment) access.Resource {
	return access.Resource{Kind: access.KindDeployment, Name: d.GetName(), Tenant: d.GetTenant()}
}

type deploymentForm struct {
	Tenant       string            `json:"tenant"`
	Model        string            `json:"model"`
	Engine       string            `json:"engine"`
	Options      map[string]string `json:"options"`
	Replicas     *uint32           `json:"replicas"`
	MinPerRegion uint32            `json:"min_per_region"`
	Regions      []string          `json:"regions"`
	Context      uint32            `json:"context"`
	Slots        uint32            `json:"slots"`
	MemoryBytes  uint64            `json:"memory_bytes"`
	residencyForm
	rescueForm
	placingForm
	cacheForm
	limitsForm
	priceForm
	scaleForm
}

const (
	maxReplicas = 10_000
	maxMemory   = 1 << 50 // bytes
)

func (d *deploymentForm) check(f *form, name string, g *Gateway) {
	f.check(nameForm.MatchString(name), "name", nameRule)
	f.check(len(d.Tenant) <= 100, "tenant", "must have at most 100 bytes")
	switch engines := g.cfg.Engines; {
	case d.Engine == "":
		f.add("engine", "is missing")
	case len(engines) > 0 && !slices.Contains(engines, d.Engine) && g.cfg.CheckEngine == nil:
		f.add("engine", "must be one of "+join(engines))
	case d.Engine == external && d.Model != "":
		f.add("model", "must be empty: an external engine has its model already")
	}
	f.check(d.Replicas == nil || *d.Replicas <= maxReplicas, "replicas", "must be at most 10000")
	f.check(d.MinPerRegion <= maxReplicas, "min_per_region", "must be at most 10000")
	f.check(d.MemoryBytes <= maxMemory, "memory_bytes", "must be at most 1125899906842624, a PiB")
	f.check(len(d.Options) <= 64, "options", "must have at most 64 entries")
	d.checkEngine(f, g)
	d.residencyForm.check(f, name, d.Engine, g)
	d.rescueForm.check(f, name)
	d.placingForm.check(f)
	d.cacheForm.check(f, d.Tenant)
	d.limitsForm.check(f)
	d.priceForm.check(f)
	d.scaleForm.check(f, d.Residency == onDemand, d.Engine)
	for i, region := range d.Regions {
		at := "regions[" + strconv.Itoa(i) + "]"
		f.check(region != "" && len(region) <= 64, at, "must have 1 to 64 bytes")
		f.check(!slices.Contains(d.Regions[:i], region), at, "is given twice")
	}
}

// checkModel adds what is wrong with the model that is named.
func (d *deploymentForm) checkModel(f *form, g *Gateway) {
	switch known := len(g.cfg.Engines) == 0 || slices.Contains(g.cfg.Engines, d.Engine); {
	case d.Engine == external:
	case d.Model != "":
		_, ok := g.cfg.State.Model(d.Model)
		f.there(ok, "model", "is not imported: import it first")
	case known && d.Engine != "" && d.Options[weights] == "":
		f.add("model", "is missing: name an imported model")
	}
}

// deployment is the record that it asks for.
func (d *deploymentForm) deployment(name string) *wire.Deployment {
	out := &wire.Deployment{Name: name, Tenant: d.Tenant, Model: d.Model, Engine: d.Engine, Options: d.Options, Replicas: 1,
		MinPerRegion: d.MinPerRegion, Regions: d.Regions, Context: d.Context, Slots: d.Slots, MemoryBytes: d.MemoryBytes}
	if d.Replicas != nil {
		out.Replicas = *d.Replicas
	}
	d.residencyForm.put(out)
	d.rescueForm.put(out)
	d.placingForm.put(out)
	d.cacheForm.put(out)
	out.Limits, out.Price, out.Scale = d.limits(), d.price(), d.scale()
	return out
}

// checkEngine adds what no node could run: the client is told now, not by a
// replica that never becomes ready.
func (d *deploymentForm) checkEngine(f *form, g *Gateway) {
	if g.cfg.CheckEngine == nil || d.Engine == "" {
		return
	}
	asked := &wire.Deployment{Engine: d.Engine, Options: d.Options, Context: d.Context, Slots: d.Slots}
	d.residencyForm.put(asked)
	err := g.cfg.CheckEngine(asked)
	var public *spec.Error
	switch {
	case errors.As(err, &public):
		f.add(public.Param, predicate(public.Param, public.Message))
	case err != nil:
		f.add("engine", err.Error())
	}
}

// predicate is a sentence about param as it reads after param's name, by which a problem is told.
func predicate(param, sentence string) string {
	name := param[strings.LastIndexByte(param, '.')+1:]
	for _, subject := range []string{param + " ", name + " ", "the option " + name + " "} {
		if rest, ok := strings.CutPrefix(sentence, subject); ok {
			return rest
		}
	}
	return "cannot be taken: " + sentence
}

// checkPresence wants a preset of the nodes' own, and its options, to be on some node that
// lives: a slip of the pen would have the deployment wait, or fail, for ever.
func (d *deploymentForm) checkPresence(f *form, g *Gateway) {
	if g.cfg.HasEngine == nil || d.Engine == "" || slices.Contains(g.cfg.Engines, d.Engine) {
		return
	}
	if some, told := g.cfg.HasEngine(d.Engine); !some && told {
		f.add("engine", strconv.Quote(clip(d.Engine, 64))+" is on no living node: describe it in a node's engines.presets, or say that its node comes later (?force=true, --force)")
	}
	if g.cfg.UnknownOptions == nil {
		return
	}
	for _, name := range g.cfg.UnknownOptions(d.Engine, d.Options) {
		f.add("options."+clip(name, 60), "is no option of "+d.Engine+" on any living node: correct it, or say that its node comes later (?force=true, --force)")
	}
}

// external is the preset of engines that run elsewhere; weights is the option that
// names a model of the node's own in place of an imported one.
const (
	external = "external"
	weights  = "weights"
)

func join(list []string) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += s
	}
	return out
}

func putDeployment(r *request) error {
	ask, name := deploymentForm{}, r.param("name")
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	if err := r.judge(f, func() {
		ask.check(f, name, r.g)
		ask.checkModel(f, r.g)
		if string(r.ctx.QueryArgs().Peek("force")) != "true" {
			ask.checkPresence(f, r.g)
		}
	}); err != nil {
		return err
	}
	// Read before it is judged: what apply finds is to be what was judged, or older.
	old, exists := r.g.cfg.State.Deployment(name)
	for _, each := range append([]string{name}, sortedKeys(ask.Adapters)...) { // clients use adapters' names as the deployment's
		if err := r.mayDeploy(each, ask.Tenant); err != nil {
			return err
		}
	}
	if err := r.mayCallOut(old, &ask); err != nil {
		return err
	}
	d := ask.deployment(name)
	put := &wire.PutDeployment{Deployment: d}
	if exists && old.GetTenant() != d.GetTenant() {
		put.Moves, put.From = true, old.GetTenant()
	}
	r.merges = true // where it has another owner by now, that is to be told as such
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutDeployment{PutDeployment: put}})
	if err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Deployment(name); ok && now.GetVersion() >= res.GetVersion() && !now.Tries(res.GetVersion()) {
		return r.json(200, viewDeployment(now))
	}
	d.Version = res.GetVersion() // this node's copy lags behind
	return r.json(200, viewDeployment(d))
}

// mayDeploy wants the caller to have the verb for the deployment as it is to be,
// and as it is. Names are the whole cluster's: one that another tenant has is taken.
func (r *request) mayDeploy(name, tenant string) error {
	t := r.deploymentTarget(name)
	if t.known && t.Tenant != tenant && !r.who.May(access.DeploymentsWrite, t.Resource) {
		if r.who.May(access.DeploymentsRead, t.Resource) {
			return r.denied(access.DeploymentsWrite, t.Resource)
		}
		return &spec.Error{Code: spec.CodeAlreadyExists, Param: "name", Message: "The name " + strconv.Quote(name) + " is taken by another tenant."}
	}
	return r.must(access.DeploymentsWrite, access.Resource{Kind: access.KindDeployment, Name: name, Tenant: tenant})
}

// mayCallOut wants a verb of the whole cluster for engines that run elsewhere: prompts
// of whoever uses the model go there, from the cluster's own network. What calls the
// same URL as before needs none.
func (r *request) mayCallOut(old *wire.Deployment, ask *deploymentForm) error {
	same := old.GetEngine() == external && maps.Equal(old.GetOptions(), ask.Options)
	if ask.Engine != external || same {
		return nil
	}
	return r.must(access.EnginesExternal, access.Cluster)
}

func removeDeployment(r *request) error {
	name := r.param("name")
	_, err := r.propose(&wire.Command{Body: &wire.Command_RemoveDeployment{RemoveDeployment: &wire.RemoveDeployment{Name: name}}})
	return r.removed(name, err)
}

// removed answers a removal.
func (r *request) removed(name string, err error) error {
	if err != nil {
		return err
	}
	return r.json(200, struct {
		Name    string `json:"name"`
		Removed bool   `json:"removed"`
	}{name, true})
}

type placementView struct {
	Instance    string `json:"instance"`
	Deployment  string `json:"deployment"`
	Version     uint64 `json:"version"`
	Node        string `json:"node"`
	Device      string `json:"device"`
	Epoch       uint64 `json:"epoch"`
	MemoryBytes uint64 `json:"memory_bytes"`
}

func listPlacements(r *request) error {
	return lists(r, access.DeploymentsRead, listing[*wire.Placement, placementView]{
		id: (*wire.Placement).GetInstance, walk: r.g.cfg.State.PlacementsPage,
		sees: func(p *wire.Placement) bool { return r.who.May(access.DeploymentsRead, r.placedResource(p)) },
		show: func(p *wire.Placement) placementView {
			v := placementView{Instance: p.GetInstance(), Deployment: p.GetDeployment(), Version: p.GetVersion(), Epoch: p.GetEpoch(), MemoryBytes: p.GetMemoryBytes()}
			if r.who.May(access.NodesRead, access.Cluster) || r.who.May(access.TopologyRead, r.placedResource(p)) {
				v.Node, v.Device = p.GetNode(), p.GetDevice()
			}
			return v
		},
	})
}

// placedResource is the deployment that the placement is of.
func (r *request) placedResource(p *wire.Placement) access.Resource {
	return r.deploymentTarget(p.GetDeployment()).Resource
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
