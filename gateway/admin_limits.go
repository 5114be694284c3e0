package gateway

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/limit"
)

const (
	ofLimits    = "tenant key deployment endpoint"
	mostLimits  = 500 // in one answer
	limitsAsked = 16  // owners, at a time
)

// A limitView is where one limit stands.
type limitView struct {
	Scope     string  `json:"scope"` // key, tenant, deployment, endpoint
	Name      string  `json:"name"`
	Tenant    string  `json:"tenant"` // empty: of the whole cluster
	Unit      string  `json:"unit"`   // requests, tokens, cost: billionths of the currency
	Per       string  `json:"per"`    // minute, day, month
	Limit     uint64  `json:"limit"`
	Used      *uint64 `json:"used,omitempty"` // absent with the rest: its owner does not answer
	Remaining *uint64 `json:"remaining,omitempty"`
	ResetMS   *int64  `json:"reset_ms,omitempty"` // when all of it is there again, if nobody uses any
	Partition string  `json:"on_partition"`
}

// A tenantLimit is a limit and whose it is.
type tenantLimit struct {
	limit.Limit
	tenant string
}

type limitList []tenantLimit

// add tells whether there is room for more; an answer with too many is refused.
func (l *limitList) add(tenant string, limits ...limit.Limit) (more bool) {
	for _, x := range limits {
		*l = append(*l, tenantLimit{x, tenant})
	}
	return len(*l) <= mostLimits
}

// showOwnLimits answers with the limits of the caller's key and tenant: of the tenant's, to who may not
// read its usage, those alone that bind the caller.
func showOwnLimits(r *request) error {
	var all limitList
	if k, ok := r.g.cfg.State.Key(r.who.Key); ok && r.who.Key != "" {
		all.add(r.who.Tenant, keyLimits(k)...)
	}
	all.add(r.who.Tenant, r.g.limits.tenant(r.who.Tenant)...)
	views, err := r.stand(all)
	if err != nil {
		return err
	}
	if !r.who.May(access.UsageRead, access.In(r.who.Tenant)) {
		views = binding(views)
	}
	return r.json(200, limitViews{views})
}

// binding leaves out the limits of a tenant by which one of its keys has no less than it has anyway: what is
// used of those are the others' requests. One per minute binds where less is left of it than of the key's
// own, as the headers of answers tell; a budget where nothing is left. One whose owner does not answer may bind.
func binding(all []limitView) (out []limitView) {
	out = []limitView{}
	for i := range all {
		if all[i].binds(all) {
			out = append(out, all[i])
		}
	}
	return out
}

func (v *limitView) binds(all []limitView) bool {
	switch {
	case v.Scope != limit.OfTenant.String() || v.Remaining == nil:
		return true
	case v.Per != limit.Minute.String():
		return *v.Remaining == 0
	}
	return !slices.ContainsFunc(all, func(own limitView) bool {
		return own.Scope == limit.OfKey.String() && own.Unit == v.Unit && own.Per == v.Per && own.Remaining != nil && *own.Remaining <= *v.Remaining
	})
}

// keyLimits are all of a key's, whose record has its requests per minute apart.
func keyLimits(k *wire.APIKey) []limit.Limit {
	requests := &wire.Limits{RequestsPerMinute: k.GetRequestsPerMinute(), OnPartition: k.GetLimits().GetOnPartition()}
	return append(limit.Of(limit.OfKey, k.GetId(), requests), limit.Of(limit.OfKey, k.GetId(), k.GetLimits())...)
}

// showLimits answers with where limits stand: of those that are named, or of all that
// the caller may see the usage of.
func showLimits(r *request) error {
	args := r.ctx.QueryArgs()
	tenant, key := string(args.Peek("tenant")), string(args.Peek("key"))
	deployment, endpoint := string(args.Peek("deployment")), string(args.Peek("endpoint"))
	var all limitList
	if tenant+key+deployment+endpoint == "" {
		if err := r.everyLimit(&all); err != nil {
			return err
		}
		return r.standings(all)
	}
	if tenant != "" {
		if err := r.must(access.UsageRead, access.In(tenant)); err != nil {
			return err
		}
		if _, ok := r.g.cfg.State.Tenant(tenant); !ok {
			return r.none(access.Resource{Kind: access.KindTenant, Name: tenant})
		}
		if key+deployment == "" {
			r.limitsIn(&all, tenant)
		}
	}
	if key != "" {
		k, ok := r.g.cfg.State.Key(key)
		own := k.GetOwner() != "" && k.GetOwner() == r.who.User && (r.me() != "" || r.somewhere(access.KeysOwn))
		if !ok || tenant != "" && k.GetTenant() != tenant || !own && !r.who.May(access.UsageRead, access.In(k.GetTenant())) {
			return r.none(access.Resource{Kind: access.KindKey, Name: key})
		}
		all.add(k.GetTenant(), keyLimits(k)...)
	}
	if deployment != "" {
		d := r.g.catalog.find([]byte(deployment))
		if d == nil || tenant != "" && d.GetTenant() != tenant || !r.who.May(access.UsageRead, access.In(d.GetTenant())) {
			return r.none(access.Resource{Kind: access.KindDeployment, Name: deployment})
		}
		all.add(d.GetTenant(), d.limits...)
	}
	if endpoint != "" {
		if err := r.must(access.UsageRead, access.Cluster); err != nil {
			return err
		}
		all.add("", r.g.limits.endpoint(endpoint)...)
	}
	return r.standings(all)
}

// everyLimit gathers what the caller may see.
func (r *request) everyLimit(all *limitList) error {
	everywhere, tenants := r.who.Where(access.UsageRead)
	switch {
	case everywhere:
		if r.limitsIn(all, "") {
			all.add("", r.g.limits.everyEndpoint()...)
		}
	case len(tenants) > 0:
		for _, t := range tenants {
			if t != "" && !r.limitsIn(all, t) {
				return nil
			}
		}
	case r.who.User != "":
		for k := range every(func(cursor string) ([]*wire.APIKey, string) {
			return r.g.cfg.State.Keys(r.who.Tenant, cursor, mostPage)
		}) {
			if k.GetOwner() == r.who.User && !all.add(k.GetTenant(), keyLimits(k)...) {
				return nil
			}
		}
	}
	return nil
}

// limitsIn gathers those of the tenant, its keys and deployments; "": of all. It ends as
// soon as there are too many, and then tells so.
func (r *request) limitsIn(all *limitList, tenant string) (more bool) {
	if tenant != "" && !all.add(tenant, r.g.limits.tenant(tenant)...) {
		return false
	}
	if tenant == "" {
		for t := range every(func(cursor string) ([]*wire.Tenant, string) { return r.g.cfg.State.TenantsPage(cursor, mostPage) }) {
			if !all.add(t.GetId(), r.g.limits.tenant(t.GetId())...) {
				return false
			}
		}
	}
	for k := range every(func(cursor string) ([]*wire.APIKey, string) { return r.g.cfg.State.Keys(tenant, cursor, mostPage) }) {
		if k.GetRevokedMs() == 0 && !all.add(k.GetTenant(), keyLimits(k)...) {
			return false
		}
	}
	for _, d := range *r.g.catalog.now.Load() {
		if d.adapter == "" && (tenant == "" || d.GetTenant() == tenant) && !all.add(d.GetTenant(), d.limits...) {
			return false
		}
	}
	return true
}

type limitViews struct {
	Data []limitView `json:"data"`
}

// standings answers with where the limits stand.
func (r *request) standings(all limitList) error {
	views, err := r.stand(all)
	if err != nil {
		return err
	}
	return r.json(200, limitViews{views})
}

// stand asks the owners.
func (r *request) stand(all limitList) ([]limitView, error) {
	if len(all) > mostLimits {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "tenant", Message: "So many limits are not answered at once.",
			Hint: "Name a tenant, a key, a deployment or an endpoint."}
	}
	slices.SortFunc(all, func(a, b tenantLimit) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Per, b.Per))
	})
	ctx, cancel := r.operate()
	defer cancel()
	out := make([]limitView, len(all))
	var asking sync.WaitGroup
	turns := make(chan struct{}, limitsAsked)
	for i := range all {
		turns <- struct{}{}
		asking.Go(func() {
			out[i] = r.g.standing(ctx, &all[i])
			<-turns
		})
	}
	asking.Wait()
	return out, nil
}

func (g *Gateway) standing(ctx context.Context, l *tenantLimit) limitView {
	v := limitView{Scope: l.Scope.String(), Name: l.Of, Tenant: l.tenant, Unit: l.Unit.String(), Per: l.Per.String(), Limit: l.Amount, Partition: "share"}
	if l.Deny {
		v.Partition = "deny"
	}
	if s := g.limiter.Look(ctx, &l.Limit); s.Known {
		at := time.Now().Add(s.Reset)
		if l.Per != limit.Minute {
			at = at.Round(time.Second) // a day ends at midnight, however long the answer was on its way
		}
		reset := at.UnixMilli()
		v.Used, v.Remaining, v.ResetMS = &s.Used, &s.Remaining, &reset
	}
	return v
}
