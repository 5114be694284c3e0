package gateway

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// ofUsage is the parameters of a question for usage.
const ofUsage = "tenant user key deployment version adapter endpoint region outcome from to step group_by"

// Bounds of one answer.
const (
	usageLook   = 300_000 // sums
	usageGroups = 10_000
	usageSince  = 24 * time.Hour // where from is not told
)

type usageField struct {
	name string
	of   func(*wire.UsageRow) string
}

// usageFields are what usage is summed up by.
var usageFields = []usageField{
	{"tenant", (*wire.UsageRow).GetTenant}, {"user", (*wire.UsageRow).GetUser},
	{"key", (*wire.UsageRow).GetKey}, {"deployment", (*wire.UsageRow).GetDeployment},
	{"version", func(r *wire.UsageRow) string { return strconv.FormatUint(r.GetVersion(), 10) }},
	{"adapter", (*wire.UsageRow).GetAdapter}, {"endpoint", (*wire.UsageRow).GetEndpoint},
	{"region", (*wire.UsageRow).GetRegion}, {"outcome", (*wire.UsageRow).GetOutcome},
}

var usageSteps = map[string]uint32{"minute": spec.UsagePeriods[0], "hour": spec.UsagePeriods[1], "day": spec.UsagePeriods[2], "": spec.UsagePeriods[2]}

// A usageAsk is what is asked for, in the words of the state.
type usageAsk struct {
	UsageQuery
	step string
	by   []int // of usageFields, in their order
}

// usedView is a sum of requests. Fields that it is not grouped by are left out.
type usedView struct {
	FromMS     *int64  `json:"from_ms,omitempty"` // when its step begins
	Tenant     *string `json:"tenant,omitempty"`
	User       *string `json:"user,omitempty"`
	Key        *string `json:"key,omitempty"`
	Deployment *string `json:"deployment,omitempty"`
	Version    *uint64 `json:"version,omitempty"` // 0: not known
	Adapter    *string `json:"adapter,omitempty"`
	Endpoint   *string `json:"endpoint,omitempty"`
	Region     *string `json:"region,omitempty"`
	Outcome    *string `json:"outcome,omitempty"`
	Requests   uint64  `json:"requests"`
	Unknown    uint64  `json:"unknown"`
	Prompt     uint64  `json:"prompt_tokens"`
	Cached     uint64  `json:"cached_tokens"`
	Completion uint64  `json:"completion_tokens"`
	GPU        float64 `json:"gpu_seconds"`
	Attempts   uint64  `json:"attempts"`
	Seconds    float64 `json:"seconds"`
}

type usageView struct {
	FromMS  int64      `json:"from_ms"`
	ToMS    int64      `json:"to_ms"`
	WholeMS int64      `json:"whole_since_ms"`
	Step    string     `json:"step"`
	Data    []usedView `json:"data"`
	Total   usedView   `json:"total"`
	Dropped uint64     `json:"dropped"`
}

// showUsage answers with what was used, as far as gateways have told.
func showUsage(r *request) error {
	ask, err := r.usageAsked(time.Now())
	if err != nil {
		return err
	}
	if err := r.usageAllowed(&ask.UsageQuery); err != nil {
		return err
	}
	type group struct {
		at int64
		of [9]string
	}
	sums, looked := map[group]*wire.UsageRow{}, 0
	total := &wire.UsageRow{}
	told := r.g.cfg.State.Usage(ask.UsageQuery, func(row *wire.UsageRow) bool {
		looked++
		var g group
		if ask.step != "" {
			span := int64(usageSteps[ask.step]) * 1000
			g.at = row.GetAtMs() - row.GetAtMs()%span
		}
		for _, i := range ask.by {
			g.of[i] = usageFields[i].of(row)
		}
		if sums[g] == nil {
			sums[g] = &wire.UsageRow{AtMs: g.at}
		}
		addUsage(sums[g], row)
		addUsage(total, row)
		return looked < usageLook && len(sums) <= usageGroups
	})
	if looked >= usageLook || len(sums) > usageGroups {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "from", Message: "So much usage is not answered at once.",
			Hint: "Ask for a shorter time, a longer step, or fewer fields in group_by."}
	}
	out := usageView{FromMS: told.FromMS, ToMS: told.ToMS, WholeMS: told.WholeMS, Step: ask.step, Data: []usedView{}, Total: viewUsed(total)}
	for g, sum := range sums {
		v := viewUsed(sum)
		if ask.step != "" {
			v.FromMS = &g.at
		}
		for _, i := range ask.by {
			v.set(i, g.of[i])
		}
		out.Data = append(out.Data, v)
	}
	slices.SortFunc(out.Data, compareUsed)
	for _, l := range r.g.cfg.State.UsageLedgers() {
		out.Dropped += l.GetDropped()
	}
	return r.json(200, out)
}

// text is where the view has the field; nil: it is the version.
func (v *usedView) text(i int) **string {
	return [...]**string{&v.Tenant, &v.User, &v.Key, &v.Deployment, nil, &v.Adapter, &v.Endpoint, &v.Region, &v.Outcome}[i]
}

func (v *usedView) set(i int, value string) {
	if to := v.text(i); to != nil {
		*to = &value
		return
	}
	n, _ := strconv.ParseUint(value, 10, 64)
	v.Version = &n
}

func viewUsed(r *wire.UsageRow) usedView {
	return usedView{Requests: r.GetRequests(), Unknown: r.GetUnknown(), Prompt: r.GetPrompt(), Cached: r.GetCached(), Completion: r.GetCompletion(),
		GPU: float64(r.GetGpuMs()) / 1000, Attempts: r.GetAttempts(), Seconds: float64(r.GetDurationMs()) / 1000}
}

// compareUsed puts the earliest first, and of one time those of the least name.
func compareUsed(a, b usedView) int {
	if a.FromMS != nil && *a.FromMS != *b.FromMS {
		return cmp.Compare(*a.FromMS, *b.FromMS)
	}
	for i := range usageFields {
		if at := a.text(i); at == nil {
			if a.Version != nil && *a.Version != *b.Version {
				return cmp.Compare(*a.Version, *b.Version)
			}
		} else if x, y := *at, *b.text(i); x != nil && *x != *y {
			return strings.Compare(*x, *y)
		}
	}
	return 0
}

// addUsage adds what from counts to what to counts.
func addUsage(to, from *wire.UsageRow) {
	to.Requests += from.GetRequests()
	to.Unknown += from.GetUnknown()
	to.Prompt += from.GetPrompt()
	to.Cached += from.GetCached()
	to.Completion += from.GetCompletion()
	to.GpuMs += from.GetGpuMs()
	to.Attempts += from.GetAttempts()
	to.DurationMs += from.GetDurationMs()
}

// usageAsked reads what is asked for.
func (r *request) usageAsked(now time.Time) (usageAsk, error) {
	args := r.ctx.QueryArgs()
	text := func(name string) string { return string(args.Peek(name)) }
	f := &form{}
	a := usageAsk{UsageQuery: UsageQuery{Tenant: text("tenant"), User: text("user"), Key: text("key"), Deployment: text("deployment"), Adapter: text("adapter"),
		Endpoint: text("endpoint"), Region: text("region"), Outcome: text("outcome"), FromMS: f.moment("from", text("from")), ToMS: f.moment("to", text("to"))}, step: text("step")}
	if v := text("version"); v != "" {
		var err error
		a.Version, err = strconv.ParseUint(v, 10, 64)
		f.check(err == nil && a.Version > 0, "version", "must be a number from 1 on, of a deployment's versions")
	}
	if text("from") == "" {
		a.FromMS = now.Add(-usageSince).UnixMilli()
	}
	if text("to") == "" {
		a.ToMS = now.Add(time.Minute).UnixMilli() // a gateway's clock may be ahead
	}
	f.check(a.FromMS < a.ToMS, "to", "must be after from")
	var ok bool
	a.Coarsest, ok = usageSteps[a.step]
	f.check(ok, "step", "must be minute, hour or day; without it there is one sum for the whole time")
	for _, name := range strings.FieldsFunc(text("group_by"), func(c rune) bool { return c == ',' }) {
		i := slices.IndexFunc(usageFields, func(u usageField) bool { return u.name == name })
		if f.check(i >= 0, "group_by", "has "+clip(name, 40)+": there are tenant, user, key, deployment, version, adapter, endpoint, region and outcome"); i >= 0 && !slices.Contains(a.by, i) {
			a.by = append(a.by, i)
		}
	}
	return a, f.err()
}

// usageAllowed narrows what is asked for to what the caller may see: everything, a
// tenant's, or its own.
func (r *request) usageAllowed(q *UsageQuery) error {
	if r.who.May(access.UsageRead, access.Cluster) {
		return nil
	}
	_, tenants := r.who.Where(access.UsageRead)
	tenants = slices.DeleteFunc(tenants, func(t string) bool { return t == "" })
	own := r.who.User != "" && (r.me() != "" || r.somewhere(access.KeysOwn))
	switch {
	case q.Tenant == "" && q.User != "" && q.User == r.who.User && own:
		return nil
	case q.Tenant == "" && len(tenants) == 1:
		q.Tenant = tenants[0]
	case q.Tenant == "" && len(tenants) > 1:
		f := &form{}
		f.add("tenant", "is missing: name one of "+join(tenants))
		return f.err()
	case own && !r.who.May(access.UsageRead, access.In(q.Tenant)) && (q.Tenant == "" || q.Tenant == r.who.Tenant) && (q.User == "" || q.User == r.who.User):
		q.User = r.who.User
		return nil
	}
	return r.must(access.UsageRead, access.In(q.Tenant))
}
