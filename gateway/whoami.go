package gateway

import (
	"errors"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A grantView is what one binding, or one of a key's scopes, gives.
type grantView struct {
	Binding     string   `json:"binding"` // empty: a key's own scope
	Role        string   `json:"role"`
	Tenant      string   `json:"tenant"` // empty: the whole cluster
	Permissions []string `json:"permissions"`
}

// whoami tells the caller who it is taken for.
func whoami(r *request) error {
	out := struct {
		Kind      string      `json:"kind"` // key or session
		Actor     string      `json:"actor"`
		Name      string      `json:"name"`
		Tenant    string      `json:"tenant"`
		Key       string      `json:"key"`
		User      string      `json:"user"`
		Session   string      `json:"session"`
		ExpiresMS int64       `json:"expires_ms"` // of the key or session; 0: never
		Grants    []grantView `json:"grants"`
	}{Kind: "key", Actor: r.who.Actor(), Name: r.who.Name, Tenant: r.who.Tenant, Key: r.who.Key, User: r.who.User, Session: r.who.Session, Grants: []grantView{}}
	if r.who.Kind == auth.OfSession {
		s, _ := r.g.cfg.State.Session(r.who.Session)
		out.Kind, out.ExpiresMS = "session", s.GetExpiresMs()
	} else {
		k, _ := r.g.cfg.State.Key(r.who.Key)
		out.ExpiresMS = k.GetExpiresMs()
	}
	for _, g := range r.who.Grants().List() {
		if effective := g.Effective(); len(effective) > 0 {
			out.Grants = append(out.Grants, grantView{g.Binding, g.Role, g.Tenant, texts(effective)})
		}
	}
	return r.json(200, out)
}

// canI tells whether the caller, or a subject whose roles it may see, may do
// something, and why.
func canI(r *request) error {
	var ask struct {
		Verb     string  `json:"verb"`
		Resource string  `json:"resource"`
		Tenant   *string `json:"tenant"`
		Subject  string  `json:"subject"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	info, ok := access.Lookup(access.Verb(ask.Verb))
	f.check(ok, "verb", "is none: GET /auth/v1/verbs lists them")
	tenant := r.who.Tenant
	change(&tenant, ask.Tenant)
	if info.Cluster {
		tenant = ""
	}
	to, bad := access.ParseResource(ask.Resource, tenant)
	f.check(bad == nil, "resource", "must be KIND:NAME, such as model:llama-3; kinds: "+strings.Join(access.Kinds, ", "))
	if err := f.err(); err != nil {
		return err
	}
	if ask.Tenant == nil && to.Kind == access.KindDeployment {
		if d := r.g.catalog.find([]byte(to.Name)); d != nil && d.adapter == "" && r.who.Sees(d.GetTenant()) {
			to.Tenant = d.GetTenant()
		}
	}
	who := r.who
	if ask.Subject != "" {
		if who, err = r.subject(ask.Subject); err != nil {
			return err
		}
	}
	return r.json(200, r.decision(who, info.Verb, to))
}

// decision is what a request of that principal would meet with: what gives the verb,
// and whether there is the model, and what narrows a key to others.
func (r *request) decision(who *auth.Principal, v access.Verb, to access.Resource) access.Decision {
	var d *deployment
	of := to.Kind == access.KindModel && (v == access.Infer || v == access.ModelsList)
	if of {
		d = r.g.catalog.find([]byte(to.Name))
		if d != nil && (!who.Sees(d.GetTenant()) || !r.who.Sees(d.GetTenant())) {
			d = nil
		}
		if d != nil {
			to.Tenant = d.GetTenant()
		}
	}
	out := r.explained(who, v, to)
	if !of || !out.Allowed || strings.Contains(to.Name, "*") {
		return out
	}
	refuse := func(text string) access.Decision {
		out.Allowed, out.By, out.Text = false, nil, text
		return out
	}
	if d == nil {
		return refuse("There is no model " + strconv.Quote(clip(to.Name, 100)) + ": a request for it is answered by " + string(spec.CodeModelNotFound) + ".")
	}
	if own := who.Models(); len(own) > 0 && !who.Lists(d.model(), d.GetTenant()) {
		return refuse("The key is limited to the models " + join(own) + ".")
	}
	var far *spec.Error
	if _, err := regionsOf(who, d); v == access.Infer && errors.As(err, &far) {
		return refuse(far.Message)
	}
	return out
}

// explained tells of another principal by those bindings alone that the caller may
// know of.
func (r *request) explained(who *auth.Principal, v access.Verb, to access.Resource) access.Decision {
	sees := func(tenant string) bool { return r.who.May(access.RolesRead, access.In(tenant)) }
	if r.itself(who) || sees("") {
		return who.Explain(v, to)
	}
	out := who.ExplainBy(v, to, sees)
	if !out.Allowed {
		out.Text += " Bindings that you may not see are left out."
	}
	return out
}

// itself tells whether the principal is the caller, or the user whose key the caller is.
func (r *request) itself(who *auth.Principal) bool {
	if who.Kind == auth.OfKey {
		return who.Key == r.who.Key
	}
	return who.User == r.who.User
}

// subject is a user or key whose roles the caller may see.
func (r *request) subject(text string) (*auth.Principal, error) {
	kind, name, _ := strings.Cut(text, ":")
	if kind != access.KindUser && kind != access.KindKey {
		f := &form{}
		f.add("subject", "must be user:ID or key:ID")
		return nil, f.err()
	}
	who, ok := r.g.keys.Subject(text)
	if ok && (r.itself(who) || r.who.May(access.RolesRead, access.In(who.Tenant))) {
		return who, nil
	}
	if r.somewhere(access.RolesRead) {
		return nil, spec.Errorf(spec.CodeNotFound, "There is no %s %q.", kind, clip(name, 100))
	}
	return nil, r.denied(access.RolesRead, access.Resource{Kind: kind, Name: name})
}

// listVerbs shows the catalogue of what can be allowed.
func listVerbs(r *request) error {
	return r.json(200, struct {
		Verbs []access.Info `json:"verbs"`
		Kinds []string      `json:"kinds"` // of resources
	}{access.Verbs, access.Kinds})
}
