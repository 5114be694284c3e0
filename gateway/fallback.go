package gateway

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// maxFallbacks bounds how many other deployments one request may be given to.
const maxFallbacks = 4

// Whether a late short answer may be asked for at a second instance.
const (
	hedgeAuto = "auto"
	hedgeOff  = "off"
)

// rescueView is the part of a deployment that says what is done where an instance does
// not answer, or not in time.
type rescueView struct {
	Fallbacks []string `json:"fallbacks"`
	Hedge     string   `json:"hedge"`
}

func viewRescue(d *wire.Deployment) rescueView {
	v := rescueView{Fallbacks: some(d.GetFallbacks()), Hedge: hedgeAuto}
	if d.GetNoHedge() {
		v.Hedge = hedgeOff
	}
	return v
}

// rescueForm is the same as a client gives it. That a fallback exists is not asked for:
// it may come with the next document, and go while this deployment stays.
type rescueForm struct {
	Fallbacks []string `json:"fallbacks"`
	Hedge     string   `json:"hedge"`
}

func (r *rescueForm) check(f *form, deployment string) {
	f.check(len(r.Fallbacks) <= maxFallbacks, "fallbacks", "must have at most "+strconv.Itoa(maxFallbacks)+" entries")
	for i, name := range r.Fallbacks {
		at := "fallbacks[" + strconv.Itoa(i) + "]"
		f.check(nameForm.MatchString(name), at, nameRule)
		f.check(name != deployment, at, "is the deployment itself")
		f.check(!slices.Contains(r.Fallbacks[:i], name), at, "is given twice")
	}
	f.check(slices.Contains([]string{"", hedgeAuto, hedgeOff}, r.Hedge), "hedge", "must be auto or off")
}

func (r *rescueForm) put(d *wire.Deployment) {
	d.Fallbacks, d.NoHedge = r.Fallbacks, r.Hedge == hedgeOff
}

// hedged tells whether a second instance may be asked where the first is late: only for
// answers that are short and the same wherever they come from.
func hedged(e openai.Endpoint, d *deployment) bool {
	return (e == openai.Embeddings || e == openai.Rerank) && !d.GetNoHedge()
}

// rescue prepares what is done where d's instances do not answer. The fallbacks are
// those of d that the caller may use and that can what is asked for; each serves only
// where d, it and the key all allow requests. Those of a fallback do not count.
func (x *inferring) rescue(r *request, d *deployment, check *openai.Request) {
	x.Hedge = hedged(x.endpoint, d)
	if len(d.GetFallbacks()) == 0 || x.endpoint.Body() != openai.JSON {
		return
	}
	var usable []*deployment
	for _, name := range d.GetFallbacks() {
		to := x.g.catalog.find([]byte(name))
		if to != nil && to.GetName() != d.GetName() && x.who.Sees(to.GetTenant()) && x.who.MayUse(to.model(), to.GetTenant()) && r.able(to, x.endpoint, check) == nil {
			usable = append(usable, to)
		}
	}
	regions, body, prompt := x.Call.Regions, x.Body, x.Query.PromptTokens
	x.Fallback = func(n int) (relay.Alternative, bool) {
		for n < len(usable) {
			if a, ok := x.alternative(usable[n], regions, body, prompt); ok {
				return a, true
			}
			usable = slices.Delete(usable, n, n+1)
		}
		return relay.Alternative{}, false
	}
}

// alternative is the request as to's; false: it cannot be.
func (x *inferring) alternative(to *deployment, allowed []string, body []byte, prompt int) (relay.Alternative, bool) {
	regions, ok := bothAllow(allowed, to.GetRegions())
	if !ok {
		return relay.Alternative{}, false
	}
	name, _ := json.Marshal(to.model())
	body, err := openai.WithField(body, "model", name)
	if err != nil {
		return relay.Alternative{}, false
	}
	a := relay.Alternative{Name: to.model(), Regions: regions, Adapter: to.adapter, Hedge: hedged(x.endpoint, to), Body: body,
		Query: balance.Query{Deployment: to.GetName(), Version: to.GetVersion(), Regions: regions, Region: x.g.cfg.Region, PromptTokens: prompt, Prompt: x.Query.Prompt, Session: x.Query.Session, Expected: to.placed > 0,
			Tenant: x.Query.Tenant, Priority: x.Query.Priority, Deadline: x.Query.Deadline, OutputTokens: x.Query.OutputTokens}}
	to.beside(&a.Query)
	if to.adapter != "" {
		a.Query.Adapter = spec.AdapterMark(to.adapter)
	}
	return a, true
}

// bothAllow is where two rules allow requests: empty is anywhere. false: nowhere.
func bothAllow(one, other []string) ([]string, bool) {
	switch {
	case len(one) == 0:
		return other, true
	case len(other) == 0:
		return one, true
	}
	var both []string
	for _, region := range other {
		if slices.Contains(one, region) {
			both = append(both, region)
		}
	}
	return both, len(both) > 0
}
