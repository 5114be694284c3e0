package gateway

import (
	"google.golang.org/protobuf/proto"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A keyView is an API key as the admin API shows it: never its hash.
type keyView struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Tenant        string   `json:"tenant"`
	Owner         string   `json:"owner"`
	Scopes        []string `json:"scopes"`
	Models        []string `json:"models"`
	Regions       []string `json:"regions"`
	Endpoints     []string `json:"endpoints"`
	Addresses     []string `json:"addresses"`
	PerMinute     uint32   `json:"requests_per_minute"`
	CreatedMS     int64    `json:"created_ms"`
	ChangedMS     int64    `json:"changed_ms"`
	ExpiresMS     int64    `json:"expires_ms"`
	RevokedMS     int64    `json:"revoked_ms"`
	RotatedMS     int64    `json:"rotated_ms"`
	PreviousUntil int64    `json:"previous_until_ms"`
	LastUsedMS    int64    `json:"last_used_ms"`
	CreatedBy     string   `json:"created_by"`
	budgetForm
}

func (r *request) viewKey(k *wire.APIKey) keyView {
	return keyView{ID: k.GetId(), Name: k.GetName(), Tenant: k.GetTenant(), Owner: k.GetOwner(), Scopes: some(k.GetScopes()), Models: some(k.GetModels()),
		Regions: some(k.GetRegions()), Endpoints: some(k.GetEndpoints()), Addresses: some(k.GetAddresses()), PerMinute: k.GetRequestsPerMinute(),
		CreatedMS: k.GetCreatedMs(), ChangedMS: k.GetChangedMs(), ExpiresMS: k.GetExpiresMs(), RevokedMS: k.GetRevokedMs(), RotatedMS: k.GetRotatedMs(),
		PreviousUntil: k.GetPreviousUntilMs(), LastUsedMS: r.g.cfg.State.LastUsed(k.GetId()), CreatedBy: k.GetCreatedBy(), budgetForm: limitsOf(k.GetLimits()).budgetForm}
}

// some makes an absent list an empty one.
func some(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func keyResource(k *wire.APIKey) access.Resource {
	return access.Resource{Kind: access.KindKey, Name: k.GetId(), Tenant: k.GetTenant()}
}

// listKeys lists those that the caller may see: of whom has only its own, these.
func listKeys(r *request) error {
	l := listing[*wire.APIKey, keyView]{
		id: (*wire.APIKey).GetId, show: r.viewKey,
		walk: func(cursor string, limit int) ([]*wire.APIKey, string) { return r.g.keysPage("", cursor, limit) },
		in: func(tenant string) walk[*wire.APIKey] {
			return func(cursor string, limit int) ([]*wire.APIKey, string) { return r.g.keysPage(tenant, cursor, limit) }
		},
		sees: func(k *wire.APIKey) bool {
			return r.who.May(access.KeysRead, keyResource(k)) || r.owns(target{Resource: keyResource(k), owner: k.GetOwner()}, access.KeysOwn)
		},
	}
	owner := string(r.ctx.QueryArgs().Peek("owner"))
	if owner == "" && !r.somewhere(access.KeysRead) {
		owner = r.who.User
	}
	if owner != "" {
		return onePage(r, l, []walk[*wire.APIKey]{func(cursor string, limit int) ([]*wire.APIKey, string) {
			return r.g.cfg.State.KeysOf(owner, cursor, limit)
		}})
	}
	return lists(r, access.KeysRead, l)
}

func showKey(r *request) error {
	k, ok := r.g.cfg.State.Key(r.param("id"))
	if !ok {
		return r.none(theKey(r).Resource)
	}
	return r.json(200, r.viewKey(k))
}

// newKey is the answer that shows a key's text.
type newKey struct {
	keyView
	Key string `json:"key"`
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
	k := &wire.APIKey{Id: id, Hash: hash[:], CreatedMs: time.Now().UnixMilli(), CreatedBy: r.who.Actor()}
	ask.fill(k, r.who.Tenant)
	if err := r.ownKey(k); err != nil {
		return err
	}
	if err := r.roomForKey(k.GetOwner()); err != nil {
		return err
	}
	if err := r.mayGiveKey(k); err != nil {
		return err
	}
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: k}}})
	if err != nil {
		return err
	}
	if res.GetReplayed() {
		return shownOnce("created the key", "revoke the key of that name and create another")
	}
	return r.json(201, newKey{r.viewKey(k), text})
}

func shownOnce(did, instead string) error {
	return &spec.Error{Code: spec.CodeAlreadyExists,
		Message: "A request with this Idempotency-Key has " + did + " already, and the key's text is shown only once.",
		Hint:    "If that answer was lost, " + instead + "."}
}

// ownKey has whoever may have keys of its own only be the owner of what it creates.
func (r *request) ownKey(k *wire.APIKey) error {
	at := access.In(k.GetTenant())
	if r.who.May(access.KeysWrite, at) {
		if k.GetOwner() == "" {
			return nil
		}
		return r.knownUser(k.GetOwner(), "owner")
	}
	if r.who.User == "" || !r.who.May(access.KeysOwn, at) || k.GetOwner() != "" && k.GetOwner() != r.who.User {
		return r.denied(access.KeysWrite, at)
	}
	k.Owner = r.who.User
	return nil
}

// knownUser wants the user that a field names to be one that the caller may see.
func (r *request) knownUser(id, param string) error {
	t := r.userTarget(id)
	if t.known && (id == r.who.User || r.who.May(access.UsersRead, t.Resource)) {
		return nil
	}
	f := &form{}
	f.add(param, "names no user: give an id, as lotabots users ls shows")
	return f.err()
}

// changeKey changes what the body names.
func changeKey(r *request) error {
	ask := keyChange{}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	old, ok := r.g.cfg.State.Key(r.param("id"))
	if !ok {
		return r.none(theKey(r).Resource)
	}
	k := ask.apply(old)
	r.merges = true
	formOf(k).check(f)
	ask.check(f)
	f.check(ask.TTL == nil || *ask.TTL >= 0 && *ask.TTL <= maxTTL, "ttl_seconds", "must be 0, for ever, or a number of seconds up to 100 years")
	if err := f.err(); err != nil {
		return err
	}
	if k.GetOwner() != old.GetOwner() {
		if err := r.ownKey(k); err != nil {
			return err
		}
		if err := r.roomForKey(k.GetOwner()); err != nil {
			return err
		}
	}
	if err := r.mayTakeOver(k); err != nil {
		return err
	}
	k.ChangedMs = time.Now().UnixMilli()
	res, err := r.propose(&wire.Command{Body: &wire.Command_ChangeKey{ChangeKey: &wire.ChangeKey{Key: k, ExpectVersion: proto.Uint64(old.GetVersion())}}})
	if err != nil {
		return err
	}
	if now, ok := r.g.cfg.State.Key(k.GetId()); ok {
		k = now
	}
	told := r.revoked(k.GetId(), k.GetTenant(), res) // it may do less now, and not on nodes that do not know yet
	return r.json(200, struct {
		keyView
		Lagging []string  `json:"lagging"`
		Closing []closing `json:"closing"`
	}{r.viewKey(k), told.Lagging, told.Closing})
}

const (
	usualOverlap = 24 * 3600      // seconds
	mostOverlap  = 30 * 24 * 3600 // seconds
)

// rotateKey gives the key another secret; the old one stays good for the overlap.
func rotateKey(r *request) error {
	var ask struct {
		Overlap *int64 `json:"overlap_seconds"`
	}
	f, err := r.decodeOptional(&ask)
	if err != nil {
		return err
	}
	overlap := int64(usualOverlap)
	if ask.Overlap != nil {
		overlap = *ask.Overlap
	}
	f.check(overlap >= 0 && overlap <= mostOverlap, "overlap_seconds", "must be a number from 0 to 2592000, which is 30 days")
	if err := f.err(); err != nil {
		return err
	}
	k, ok := r.g.cfg.State.Key(r.param("id"))
	if !ok {
		return r.none(theKey(r).Resource)
	}
	if err := r.mayTakeOver(k); err != nil {
		return err
	}
	text, hash := auth.NewSecret(k.GetId())
	res, err := r.propose(&wire.Command{Body: &wire.Command_RotateKey{RotateKey: &wire.RotateKey{Id: k.GetId(), Hash: hash[:], OverlapMs: overlap * 1000}}})
	if err != nil {
		return err
	}
	if res.GetReplayed() {
		return shownOnce("rotated the key", "rotate it again")
	}
	if now, ok := r.g.cfg.State.Key(k.GetId()); ok {
		k = now
	}
	told := r.revoked(k.GetId(), k.GetTenant(), res) // the secret before the last, or the last, is good there until they know
	return r.json(200, struct {
		newKey
		Lagging []string  `json:"lagging"`
		Closing []closing `json:"closing"`
	}{newKey{r.viewKey(k), text}, told.Lagging, told.Closing})
}

// revokeKey answers when every member that is alive refuses the key, or names
// those that have not told so.
func revokeKey(r *request) error {
	id := r.param("id")
	k, _ := r.g.cfg.State.Key(id)
	return r.revoke(id, k.GetTenant(), &wire.Command{Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: id}}})
}
