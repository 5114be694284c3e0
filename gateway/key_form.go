package gateway

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A keyForm asks for a key.
type keyForm struct {
	Name      string   `json:"name"`
	Tenant    string   `json:"tenant"`
	Owner     string   `json:"owner"`
	Scopes    []string `json:"scopes"`
	Models    []string `json:"models"`
	Regions   []string `json:"regions"`
	Endpoints []string `json:"endpoints"`
	Addresses []string `json:"addresses"`
	PerMinute uint32   `json:"requests_per_minute"`
	TTL       int64    `json:"ttl_seconds"`
	budgetForm
}

// maxTTL bounds how long a key or token may be asked to last: a hundred years.
const maxTTL = int64(100 * 365 * 24 * time.Hour / time.Second)

// maxEach bounds each list of a key.
const maxEach = 64

func (k *keyForm) check(f *form) {
	f.check(k.Name != "" && len(k.Name) <= 100 && utf8.ValidString(k.Name), "name", "must have 1 to 100 bytes")
	f.check(len(k.Tenant) <= 100, "tenant", "must have at most 100 bytes")
	f.check(len(k.Owner) <= 100, "owner", "must have at most 100 bytes")
	f.each("scopes", k.Scopes, "must be infer, admin, metrics, topology, a verb such as deployments.read, or a pattern of verbs such as keys.*", func(s string) bool {
		return auth.CheckScope(s) == nil
	})
	f.each("models", k.Models, "must have 1 to 128 bytes, such as llama-*", func(s string) bool { return s != "" && len(s) <= maxName })
	f.each("regions", k.Regions, "must have 1 to 64 bytes", func(s string) bool { return s != "" && len(s) <= 64 })
	f.each("endpoints", k.Endpoints, "must be a path or a pattern of paths, such as /v1/embeddings or /v1/*", func(s string) bool {
		return auth.CheckEndpoint(s) == nil
	})
	f.each("addresses", k.Addresses, "must be an address range such as 10.0.0.0/8, or one address", func(s string) bool {
		_, err := auth.ParseAddress(s)
		return err == nil
	})
	f.check(k.TTL >= 0 && k.TTL <= maxTTL, "ttl_seconds", "must be 0, for ever, or a number of seconds up to 100 years")
	k.budgetForm.check(f)
}

// each checks the entries of a list.
func (f *form) each(param string, list []string, want string, ok func(string) bool) {
	f.check(len(list) <= maxEach, param, "must have at most 64 entries")
	for i, s := range list {
		f.check(ok(s), param+"["+strconv.Itoa(i)+"]", want)
	}
}

// fill makes the record what the form asks for; home is the tenant where it names none.
func (k *keyForm) fill(out *wire.APIKey, home string) {
	out.Name, out.Tenant, out.Owner, out.Scopes, out.Models = k.Name, k.Tenant, k.Owner, k.Scopes, k.Models
	out.Regions, out.Endpoints, out.Addresses, out.RequestsPerMinute = k.Regions, k.Endpoints, ranges(k.Addresses), k.PerMinute
	out.Limits = (&limitsForm{budgetForm: k.budgetForm}).limits()
	if out.Tenant == "" {
		out.Tenant = home
	}
	if len(out.Scopes) == 0 {
		out.Scopes = []string{"infer"}
	}
	if k.TTL > 0 {
		out.ExpiresMs = time.Now().Add(time.Duration(k.TTL) * time.Second).UnixMilli()
	}
}

// ranges writes single addresses as ranges, and all without bits that do not count.
func ranges(list []string) []string {
	out := slices.Clone(list)
	for i, s := range out {
		if p, err := auth.ParseAddress(s); err == nil {
			out[i] = p.String()
		}
	}
	return out
}

// formOf is the form by which the record could have been asked for.
func formOf(k *wire.APIKey) *keyForm {
	return &keyForm{Name: k.GetName(), Tenant: k.GetTenant(), Owner: k.GetOwner(), Scopes: k.GetScopes(), Models: k.GetModels(),
		Regions: k.GetRegions(), Endpoints: k.GetEndpoints(), Addresses: k.GetAddresses(), PerMinute: k.GetRequestsPerMinute(), budgetForm: limitsOf(k.GetLimits()).budgetForm}
}

// A keyChange has what is to change of a key; nil stays.
type keyChange struct {
	Name      *string   `json:"name"`
	Owner     *string   `json:"owner"`
	Scopes    *[]string `json:"scopes"`
	Models    *[]string `json:"models"`
	Regions   *[]string `json:"regions"`
	Endpoints *[]string `json:"endpoints"`
	Addresses *[]string `json:"addresses"`
	PerMinute *uint32   `json:"requests_per_minute"`
	TTL       *int64    `json:"ttl_seconds"`
	budgetChange
}

func (c *keyChange) apply(old *wire.APIKey) *wire.APIKey {
	k := proto.CloneOf(old)
	change(&k.Name, c.Name)
	change(&k.Owner, c.Owner)
	change(&k.Scopes, c.Scopes)
	change(&k.Models, c.Models)
	change(&k.Regions, c.Regions)
	change(&k.Endpoints, c.Endpoints)
	change(&k.RequestsPerMinute, c.PerMinute)
	k.Limits = c.budgetChange.apply(limitsForm{budgetForm: limitsOf(k.GetLimits()).budgetForm})
	if c.Addresses != nil {
		k.Addresses = ranges(*c.Addresses)
	}
	if c.Scopes != nil && len(k.Scopes) == 0 {
		k.Scopes = []string{"infer"}
	}
	if c.TTL != nil {
		k.ExpiresMs = 0
		if *c.TTL > 0 {
			k.ExpiresMs = time.Now().Add(time.Duration(min(*c.TTL, maxTTL)) * time.Second).UnixMilli()
		}
	}
	return k
}

func change[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// mayGiveKey refuses a key that could do what its giver cannot.
func (r *request) mayGiveKey(k *wire.APIKey) error {
	if err := r.covered(auth.ScopeGrants(k), "give it to a key"); err != nil {
		return err
	}
	mine, ok := r.g.cfg.State.Key(r.who.Key)
	if r.who.Session != "" || !ok {
		return nil
	}
	f := &form{}
	within(f, mine, k)
	narrower(f, "models", mine.GetModels(), k.GetModels(), access.Match[string])
	narrower(f, "regions", mine.GetRegions(), k.GetRegions(), func(have, want string) bool { return have == want })
	narrower(f, "endpoints", mine.GetEndpoints(), k.GetEndpoints(), access.Match[string])
	narrower(f, "addresses", mine.GetAddresses(), k.GetAddresses(), inside)
	return f.err()
}

// mayTakeOver refuses to change or rotate a key by which more can be done than by
// whoever does that: its text, or what it loses an owner by, would be as good as
// what is bound to it. An owner that it has does not count: it can be taken away.
func (r *request) mayTakeOver(k *wire.APIKey) error {
	if err := r.covered(r.g.keys.GrantsOf(access.KindKey+":"+k.GetId()), "change or rotate a key that has it"); err != nil {
		return err
	}
	return r.mayGiveKey(k)
}

// within wants a key to last no longer, and to be let in no more often, than the
// key by which it is made or changed.
func within(f *form, own, given *wire.APIKey) {
	if end := own.GetExpiresMs(); end > 0 {
		f.check(given.GetExpiresMs() > 0 && given.GetExpiresMs() <= end, "ttl_seconds",
			"goes beyond the key in use, which ends at "+time.UnixMilli(end).UTC().Format(time.RFC3339))
	}
	if most := own.GetRequestsPerMinute(); most > 0 {
		f.check(given.GetRequestsPerMinute() > 0 && given.GetRequestsPerMinute() <= most, "requests_per_minute",
			"goes beyond the key in use, which is limited to "+strconv.FormatUint(uint64(most), 10))
	}
	have, want := own.GetLimits(), given.GetLimits()
	for _, l := range []struct {
		param      string
		have, want uint64
		money      bool
	}{
		{"tokens_per_minute", uint64(have.GetTokensPerMinute()), uint64(want.GetTokensPerMinute()), false},
		{"tokens_per_day", have.GetTokensPerDay(), want.GetTokensPerDay(), false},
		{"tokens_per_month", have.GetTokensPerMonth(), want.GetTokensPerMonth(), false},
		{"cost_per_day", have.GetCostPerDay(), want.GetCostPerDay(), true},
		{"cost_per_month", have.GetCostPerMonth(), want.GetCostPerMonth(), true},
	} {
		most := utoa(l.have)
		if l.money {
			most = spec.FormatMoney(l.have)
		}
		f.check(l.have == 0 || l.want > 0 && l.want <= l.have, l.param, "goes beyond the key in use, which is limited to "+most)
	}
}

// narrower wants each entry to be within one of the giver's own, where it has any.
func narrower(f *form, param string, own, given []string, within func(have, want string) bool) {
	if len(own) == 0 {
		return
	}
	f.check(len(given) > 0, param, "must be given: the key in use is limited to "+join(own))
	for i, want := range given {
		ok := slices.ContainsFunc(own, func(have string) bool { return within(have, want) })
		f.check(ok, param+"["+strconv.Itoa(i)+"]", "goes beyond the key in use, which is limited to "+join(own))
	}
}

func inside(have, want string) bool {
	h, err1 := auth.ParseAddress(have)
	w, err2 := auth.ParseAddress(want)
	return err1 == nil && err2 == nil && h.Bits() <= w.Bits() && h.Contains(w.Addr())
}
