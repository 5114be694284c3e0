package gateway

import (
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A keyView is an API key as the admin API shows it: never its hash.
type keyView struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Tenant    string   `json:"tenant"`
	Scopes    []string `json:"scopes"`
	Models    []string `json:"models"`
	PerMinute uint32   `json:"requests_per_minute"`
	CreatedMS int64    `json:"created_ms"`
	ExpiresMS int64    `json:"expires_ms"`
	RevokedMS int64    `json:"revoked_ms"`
	CreatedBy string   `json:"created_by"`
}

func viewKey(k *wire.APIKey) keyView {
	return keyView{ID: k.GetId(), Name: k.GetName(), Tenant: k.GetTenant(), Scopes: some(k.GetScopes()), Models: some(k.GetModels()),
		PerMinute: k.GetRequestsPerMinute(), CreatedMS: k.GetCreatedMs(), ExpiresMS: k.GetExpiresMs(), RevokedMS: k.GetRevokedMs(),
		CreatedBy: k.GetCreatedBy()}
}

// some makes an absent list an empty one.
func some(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func listKeys(r *request) error {
	limit, err := r.number("limit", usualPage, mostPage)
	if err != nil {
		return err
	}
	args := r.ctx.QueryArgs()
	keys, next := r.g.keysPage(string(args.Peek("tenant")), string(args.Peek("cursor")), limit)
	out := page[keyView]{Data: []keyView{}, NextCursor: next}
	for _, k := range keys {
		out.Data = append(out.Data, viewKey(k))
	}
	return r.json(200, out)
}

type keyForm struct {
	Name      string   `json:"name"`
	Tenant    string   `json:"tenant"`
	Scopes    []string `json:"scopes"`
	Models    []string `json:"models"`
	PerMinute uint32   `json:"requests_per_minute"`
	TTL       int64    `json:"ttl_seconds"`
}

// maxTTL bounds how long a key or token may be asked to last: a hundred years.
const maxTTL = int64(100 * 365 * 24 * time.Hour / time.Second)

func (k *keyForm) check(f *form) {
	f.check(k.Name != "" && len(k.Name) <= 100 && utf8.ValidString(k.Name), "name", "must have 1 to 100 bytes")
	f.check(len(k.Tenant) <= 100, "tenant", "must have at most 100 bytes")
	for i, s := range k.Scopes {
		if _, err := auth.ScopeOf(s); err != nil {
			f.add("scopes["+strconv.Itoa(i)+"]", "must be infer, admin, metrics or topology")
		}
	}
	f.check(len(k.Models) <= 64, "models", "must have at most 64 patterns")
	for i, m := range k.Models {
		f.check(m != "" && len(m) <= maxName, "models["+strconv.Itoa(i)+"]", "must have 1 to 128 bytes, such as llama-*")
	}
	f.check(k.TTL >= 0 && k.TTL <= maxTTL, "ttl_seconds", "must be 0, for ever, or a number of seconds up to 100 years")
}

func createKey(r *request) error {
	ask := keyForm{}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	ask.check(f)
	if err := f.err(); err != nil {
		return err
	}
	text, id, hash := auth.NewText()
	now := time.Now()
	k := &wire.APIKey{Id: id, Tenant: ask.Tenant, Name: ask.Name, Hash: hash[:], Scopes: ask.Scopes, Models: ask.Models,
		RequestsPerMinute: ask.PerMinute, CreatedMs: now.UnixMilli(), CreatedBy: "key/" + r.who.Key}
	if k.Tenant == "" {
		k.Tenant = r.who.Tenant
	}
	if len(k.Scopes) == 0 {
		k.Scopes = []string{"infer"}
	}
	if ask.TTL > 0 {
		k.ExpiresMs = now.Add(time.Duration(ask.TTL) * time.Second).UnixMilli()
	}
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: k}}})
	if err != nil {
		return err
	}
	if res.GetReplayed() {
		return &spec.Error{Code: spec.CodeAlreadyExists, Param: "name",
			Message: "A request with this Idempotency-Key has created the key already, and its text is shown only once.",
			Hint:    "If that answer was lost, revoke the key of that name and create another."}
	}
	return r.json(201, struct {
		keyView
		Key string `json:"key"`
	}{viewKey(k), text})
}

// revokeKey answers when every member that is alive refuses the key, or names
// those that have not told so.
func revokeKey(r *request) error {
	id := r.param("id")
	res, err := r.propose(&wire.Command{Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: id}}})
	if err != nil {
		return err
	}
	out := struct {
		ID      string   `json:"id"`
		Revoked bool     `json:"revoked"`
		Index   uint64   `json:"state_index"`
		Lagging []string `json:"lagging"` // nodes that have not told that they know
	}{ID: id, Revoked: true, Index: res.GetIndex(), Lagging: []string{}}
	if r.g.cfg.Applied != nil {
		ctx, cancel := context.WithTimeout(r.g.work, catchUp)
		defer cancel()
		for _, n := range r.g.cfg.Applied(ctx, res.GetIndex()) {
			out.Lagging = append(out.Lagging, string(n))
		}
	}
	return r.json(200, out)
}
