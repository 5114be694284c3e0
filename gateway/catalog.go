package gateway

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/limit"
)

// A catalog is the deployments as the hot path reads them: an immutable
// snapshot, replaced when a deployment or a placement changes.
type catalog struct {
	state StateReader
	mu    sync.Mutex // one reload at a time
	now   atomic.Pointer[map[string]*deployment]
}

// A deployment is what clients name as a model: a deployment itself, or one of its
// adapters.
type deployment struct {
	*wire.Deployment
	placed  int    // instances that the state places
	adapter string // its name; empty: the deployment itself
	limits  []limit.Limit
	canary  *deployment // what another version makes of it; nil: there is none
	apart   bool        // the two may be of different models
	trial   *deployment // whose canary it is; nil: nobody's
}

// alone is its version where instances of it are to be told from others; else 0.
func (d *deployment) alone() uint64 {
	if d.canary != nil || d.trial != nil {
		return d.GetVersion()
	}
	return 0
}

// model is the name that clients use, and that permission is asked for.
func (d *deployment) model() string {
	if d.adapter != "" {
		return d.adapter
	}
	return d.GetName()
}

func newCatalog(s StateReader) *catalog {
	c := &catalog{state: s}
	c.now.Store(&map[string]*deployment{})
	return c
}

// reload reads the state. A name that is a deployment's own is that deployment's;
// of adapters of one name, which the state refuses, the one counts whose deployment's
// name comes first.
func (c *catalog) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[string]*deployment)
	var adapted []*deployment
	for d := range every(func(cursor string) ([]*wire.Deployment, string) { return c.state.DeploymentsPage("", cursor, mostPage) }) {
		next[d.GetName()] = &deployment{Deployment: d, limits: limit.Of(limit.OfDeployment, d.GetName(), d.GetLimits())}
		if len(d.GetAdapters()) > 0 {
			adapted = append(adapted, next[d.GetName()])
		}
	}
	for p := range every(func(cursor string) ([]*wire.Placement, string) { return c.state.PlacementsPage(cursor, mostPage) }) {
		if d := next[p.GetDeployment()]; d != nil {
			d.placed++
		}
	}
	for _, d := range next {
		d.tries()
	}
	for _, d := range adapted {
		for _, a := range d.GetAdapters() {
			if next[a.GetName()] == nil {
				next[a.GetName()] = &deployment{Deployment: d.Deployment, placed: d.placed, adapter: a.GetName(), limits: d.limits}
				next[a.GetName()].tries()
			}
		}
	}
	c.now.Store(&next)
}

// find looks a model up by the client's bytes, without an allocation.
func (c *catalog) find(model []byte) *deployment { return (*c.now.Load())[string(model)] }

// visible lists what who may see in /v1/models, by name.
func (c *catalog) visible(who *auth.Principal) []*deployment {
	var out []*deployment
	for _, d := range *c.now.Load() {
		if who.Lists(d.model(), d.GetTenant()) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *deployment) int { return strings.Compare(a.model(), b.model()) })
	return out
}

// near names up to three visible models that look like name.
func (c *catalog) near(who *auth.Principal, name string) []string {
	if len(name) > 128 {
		return nil
	}
	type match struct {
		name string
		far  int
	}
	var found []match
	for _, d := range c.visible(who) {
		far := distance(strings.ToLower(name), strings.ToLower(d.model()))
		if far <= max(2, len(name)/3) || strings.Contains(d.model(), name) {
			found = append(found, match{d.model(), far})
		}
	}
	slices.SortStableFunc(found, func(a, b match) int { return a.far - b.far })
	var out []string
	for _, m := range found[:min(3, len(found))] {
		out = append(out, m.name)
	}
	return out
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
