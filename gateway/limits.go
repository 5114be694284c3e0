package gateway

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/limit"
)

// limits are those of tenants and endpoints, as this node's copy of the state has
// them. A key's are with its principal, a deployment's in the catalog.
type limits struct {
	mu        sync.RWMutex
	tenants   map[string][]limit.Limit // that have some
	endpoints []endpointLimits
}

type endpointLimits struct {
	pattern string
	limits  []limit.Limit
}

func (l *limits) tenant(id string) []limit.Limit {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tenants[id]
}

// endpoint is the limits of the first pattern that the path fits.
func (l *limits) endpoint(path string) []limit.Limit {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, e := range l.endpoints {
		if access.Match(e.pattern, path) {
			return e.limits
		}
	}
	return nil
}

// everyEndpoint is all limits of endpoints.
func (l *limits) everyEndpoint() (out []limit.Limit) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, e := range l.endpoints {
		out = append(out, e.limits...)
	}
	return out
}

// putTenant takes over what a tenant has from now on; nil: it is removed.
func (l *limits) putTenant(id string, t *wire.Tenant) {
	of := limit.Of(limit.OfTenant, id, t.GetLimits())
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(of) == 0 {
		delete(l.tenants, id)
		return
	}
	if l.tenants == nil {
		l.tenants = map[string][]limit.Limit{}
	}
	l.tenants[id] = of
}

// putEndpoints takes over the setting. One that cannot be read, as a later build may
// write it, has no effect beyond what can.
func (l *limits) putEndpoints(value string) {
	of, _ := endpointsOf(value)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endpoints = of
}

// endpointsOf reads the setting: an object that has for each path or pattern of paths
// an object of limits. Of patterns that fit the same path, the longer one counts.
func endpointsOf(value string) (out []endpointLimits, problem string) {
	if value == "" {
		return nil, ""
	}
	var asked map[string]limitsForm
	d := json.NewDecoder(strings.NewReader(value))
	d.DisallowUnknownFields()
	if d.Decode(&asked) != nil || d.More() {
		return nil, endpointsRule
	}
	for _, path := range sortedKeys(asked) {
		form, f := asked[path], &form{}
		form.check(f)
		if auth.CheckEndpoint(path) != nil {
			return nil, "names " + path + ", which is no path or pattern of paths, such as /v1/embeddings or /v1/*"
		}
		if len(f.problems) > 0 {
			return nil, "has for " + path + ": " + f.problems[0].Param + " " + f.problems[0].Message
		}
		out = append(out, endpointLimits{path, limit.Of(limit.OfEndpoint, path, form.limits())})
	}
	slices.SortStableFunc(out, func(a, b endpointLimits) int { return len(b.pattern) - len(a.pattern) })
	return out, ""
}

const endpointsRule = `must be an object of paths and their limits, such as {"/v1/embeddings":{"requests_per_minute":600,"tokens_per_minute":100000}}`

func isEndpoints(value string) bool {
	_, problem := endpointsOf(value)
	return problem == ""
}
