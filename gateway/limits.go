package gateway

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/limit"
)

// limits are those of tenants and endpoints, as this node's copy of the state has
// them. A key's are with its principal, a deployment's in the catalog. Requests read them
// without a lock; only one may change them at a time.
type limits struct {
	tenants   atomic.Pointer[map[string][]limit.Limit] // that have some
	endpoints atomic.Pointer[[]endpointLimits]
}

type endpointLimits struct {
	pattern string
	limits  []limit.Limit
}

func (l *limits) tenant(id string) []limit.Limit {
	if now := l.tenants.Load(); now != nil {
		return (*now)[id]
	}
	return nil
}

// endpoint is the limits of the first pattern that the path fits.
func (l *limits) endpoint(path string) []limit.Limit {
	for _, e := range l.patterns() {
		if access.Match(e.pattern, path) {
			return e.limits
		}
	}
	return nil
}

func (l *limits) patterns() []endpointLimits {
	if now := l.endpoints.Load(); now != nil {
		return *now
	}
	return nil
}

// everyEndpoint is all limits of endpoints.
func (l *limits) everyEndpoint() (out []limit.Limit) {
	for _, e := range l.patterns() {
		out = append(out, e.limits...)
	}
	return out
}

// putTenant takes over what a tenant has from now on; nil: it is removed.
func (l *limits) putTenant(id string, t *wire.Tenant) {
	of := limit.Of(limit.OfTenant, id, t.GetLimits())
	if len(of) == 0 && l.tenant(id) == nil {
		return
	}
	next := map[string][]limit.Limit{}
	if now := l.tenants.Load(); now != nil {
		next = maps.Clone(*now)
	}
	delete(next, id)
	if len(of) > 0 {
		next[id] = of
	}
	l.tenants.Store(&next)
}

// reading takes over the limits of all tenants once the last of them has been read.
func (l *limits) reading(all iter.Seq[*wire.Tenant]) iter.Seq[*wire.Tenant] {
	return func(yield func(*wire.Tenant) bool) {
		next := map[string][]limit.Limit{}
		for t := range all {
			if of := limit.Of(limit.OfTenant, t.GetId(), t.GetLimits()); len(of) > 0 {
				next[t.GetId()] = of
			}
			if !yield(t) {
				return
			}
		}
		l.tenants.Store(&next)
	}
}

// putEndpoints takes over the setting. One that cannot be read, as a later build may
// write it, has no effect beyond what can.
func (l *limits) putEndpoints(value string) {
	of, _ := endpointsOf(value)
	l.endpoints.Store(&of)
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
