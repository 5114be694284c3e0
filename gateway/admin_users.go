package gateway

import (
	"errors"
	"regexp"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// A userView is a user as the admin API shows it: never its password's hash.
type userView struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Tenant     string   `json:"tenant"`
	Email      string   `json:"email"`
	Display    string   `json:"display"`
	Service    bool     `json:"service"`
	Password   bool     `json:"has_password"`
	Issuer     string   `json:"issuer"`
	Subject    string   `json:"subject"`
	Groups     []string `json:"groups"`
	Version    uint64   `json:"version"`
	CreatedMS  int64    `json:"created_ms"`
	ChangedMS  int64    `json:"changed_ms"`
	DisabledMS int64    `json:"disabled_ms"`
}

func viewUser(u *wire.User) userView {
	return userView{ID: u.GetId(), Name: u.GetName(), Tenant: u.GetTenant(), Email: u.GetEmail(), Display: u.GetDisplay(), Service: u.GetService(),
		Password: u.GetPassword() != "", Issuer: u.GetIssuer(), Subject: u.GetSubject(), Groups: some(u.GetGroups()), Version: u.GetVersion(),
		CreatedMS: u.GetCreatedMs(), ChangedMS: u.GetChangedMs(), DisabledMS: u.GetDisabledMs()}
}

func listUsers(r *request) error {
	read := r.g.cfg.State
	return lists(r, access.UsersRead, listing[*wire.User, userView]{
		id: (*wire.User).GetId, show: viewUser,
		walk: func(cursor string, limit int) ([]*wire.User, string) { return read.Users("", cursor, limit) },
		in: func(tenant string) walk[*wire.User] {
			return func(cursor string, limit int) ([]*wire.User, string) { return read.Users(tenant, cursor, limit) }
		},
		sees: func(u *wire.User) bool {
			return r.who.May(access.UsersRead, access.Resource{Kind: access.KindUser, Name: u.GetId(), Tenant: u.GetTenant()})
		},
	})
}

// user is the one that the path names.
func (r *request) user() (*wire.User, error) {
	u, ok := r.g.cfg.State.User(r.param("id"))
	if !ok {
		return nil, r.none(theUser(r).Resource)
	}
	return u, nil
}

func showUser(r *request) error {
	u, err := r.user()
	if err != nil {
		return err
	}
	return r.json(200, viewUser(u))
}

// loginForm is what names to log in by look like.
var loginForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$`)

const (
	loginRule  = "must be 1 to 100 of letters, digits, '.', '_', '@', '+' and '-', beginning with a letter or digit"
	maxEmail   = 254
	maxDisplay = 256
)

func checkUser(f *form, u *wire.User) {
	f.check(loginForm.MatchString(u.GetName()), "name", loginRule)
	f.check(len(u.GetTenant()) <= maxTenantID, "tenant", "must have at most 100 bytes")
	f.check(len(u.GetEmail()) <= maxEmail, "email", "must have at most 254 bytes")
	f.check(len(u.GetDisplay()) <= maxDisplay, "display", "must have at most 256 bytes")
}

func createUser(r *request) error {
	var ask struct {
		Name     string  `json:"name"`
		Tenant   *string `json:"tenant"`
		Email    string  `json:"email"`
		Display  string  `json:"display"`
		Service  bool    `json:"service"`
		Password string  `json:"password" secret:"yes"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	id, err := r.freshID()
	if err != nil {
		return err
	}
	u := &wire.User{Id: id, Name: ask.Name, Tenant: r.who.Tenant, Email: ask.Email, Display: ask.Display, Service: ask.Service, CreatedMs: time.Now().UnixMilli()}
	change(&u.Tenant, ask.Tenant)
	checkUser(f, u)
	f.check(!ask.Service || ask.Password == "", "password", "must be empty: a service account has keys and no password")
	if err := f.err(); err != nil {
		return err
	}
	if err := r.must(access.UsersWrite, access.In(u.GetTenant())); err != nil {
		return err
	}
	if err := r.unconfined("create users"); err != nil {
		return err
	}
	if ask.Password != "" {
		if u.Password, err = r.hashed(u.GetName(), ask.Password); err != nil {
			return err
		}
	}
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: u}}})
	if err != nil {
		return err
	}
	return r.json(201, viewUser(r.writtenUser(u, res)))
}

// writtenUser is the record as it was written: this node's copy, where that has it.
func (r *request) writtenUser(u *wire.User, res *wire.Result) *wire.User {
	if now, ok := r.g.cfg.State.User(u.GetId()); ok && now.GetVersion() >= res.GetVersion() {
		return now
	}
	u.Version = res.GetVersion()
	return u
}

// hashed is what the state keeps of a password. It is of no use to the caller
// to know it, and it is not shown.
func (r *request) hashed(name, password string) (string, error) {
	if r.g.cfg.Sessions == nil {
		return "", r.elsewhere("set passwords")
	}
	ctx, cancel := r.operate()
	defer cancel()
	return r.g.cfg.Sessions.HashPassword(ctx, name, password)
}

func changeUser(r *request) error {
	var ask struct {
		Name     *string `json:"name"`
		Email    *string `json:"email"`
		Display  *string `json:"display"`
		Disabled *bool   `json:"disabled"`
		Version  *uint64 `json:"version"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	old, err := r.user()
	if err != nil {
		return err
	}
	u := proto.CloneOf(old)
	change(&u.Name, ask.Name)
	change(&u.Email, ask.Email)
	change(&u.Display, ask.Display)
	if ask.Disabled != nil && *ask.Disabled != (u.GetDisabledMs() != 0) {
		u.DisabledMs = 0
		if *ask.Disabled {
			u.DisabledMs = time.Now().UnixMilli()
		}
	}
	checkUser(f, u)
	f.check(u.GetName() == old.GetName() || old.GetPassword() == "", "name", "cannot be changed while there is a password, which was chosen for it")
	if err := f.err(); err != nil {
		return err
	}
	if err := r.overUser(u, "change that user"); err != nil {
		return err
	}
	version := old.GetVersion()
	change(&version, ask.Version)
	r.merges = ask.Version == nil
	u.ChangedMs = time.Now().UnixMilli()
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: u, ExpectVersion: version}}})
	if err != nil {
		return err
	}
	out := struct {
		userView
		Lagging []string  `json:"lagging"`
		Closing []closing `json:"closing"`
	}{viewUser(r.writtenUser(u, res)), []string{}, []closing{}}
	if u.GetDisabledMs() != 0 {
		told := r.revoked(u.GetId(), "", res)
		out.Lagging, out.Closing = told.Lagging, told.Closing
	}
	return r.json(200, out)
}

// overUser refuses to act on a user who may do more than the caller: a password,
// say, is as good as the user.
func (r *request) overUser(u *wire.User, doing string) error {
	return r.covered(r.g.keys.GrantsOf(access.KindUser+":"+u.GetId()), doing)
}

func removeUser(r *request) error {
	u, err := r.user()
	if err != nil {
		return err
	}
	if err := r.overUser(u, "remove that user"); err != nil {
		return err
	}
	return r.revoke(u.GetId(), "", &wire.Command{Body: &wire.Command_RemoveUser{RemoveUser: &wire.RemoveUser{Id: u.GetId()}}})
}

// setPassword sets a user's password and ends the sessions that were opened
// before, in one write: there is no moment in which they outlive the password. Who sets the own one tells the one in force, too: an access token that
// was stolen must not become the user.
func setPassword(r *request) error {
	var ask struct {
		Password string `json:"password" secret:"yes"`
		Current  string `json:"current" secret:"yes"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	u, err := r.user()
	if err != nil {
		return err
	}
	own := u.GetId() == r.me()
	f.check(ask.Password != "", "password", "is missing")
	f.check(!own || u.GetPassword() == "" || ask.Current != "", "current", "is missing: give the password that is in force")
	f.check(!u.GetService(), "password", "cannot be set: a service account has keys and no password")
	if err := f.err(); err != nil {
		return err
	}
	if err := r.unconfined("set passwords"); err != nil {
		return err
	}
	fresh, shown, err := r.proven(u, ask.Password, ask.Current)
	if err != nil {
		return err
	}
	changed := proto.CloneOf(u)
	changed.Password, changed.ChangedMs = fresh, time.Now().UnixMilli()
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{
		User: changed, ExpectVersion: u.GetVersion(), EndSessions: "password changed"}}})
	if err != nil {
		if shown != "" {
			err = errors.Join(err, r.closeAgain(shown, "password not changed"))
		}
		return err
	}
	return r.json(200, r.revoked(u.GetId(), u.GetTenant(), res))
}

// closeAgain ends a session that this request itself has opened. Nobody needs to be
// allowed to, so nothing that somebody has lost meanwhile may keep it open.
func (r *request) closeAgain(session, reason string) error {
	defer func(decided uint64) { r.decided = decided }(r.decided)
	r.decided = 0
	_, err := r.propose(&wire.Command{Body: &wire.Command_RevokeSession{RevokeSession: &wire.RevokeSession{Id: session, Reason: reason}}})
	return err
}

// proven tells what the state keeps of a new password that the caller may set.
// Whoever sets the own one logs in by the one in force, and the session that this
// opens is for nobody: it is opened only for a password that can be set.
func (r *request) proven(u *wire.User, password, current string) (fresh, session string, err error) {
	own := u.GetId() == r.me()
	switch {
	case own && u.GetPassword() != "":
		if fresh, err = r.hashed(u.GetName(), password); err != nil {
			return "", "", err
		}
		granted, err := r.login(spec.Login{Name: u.GetName(), Password: current})
		if err != nil {
			return "", "", err
		}
		return fresh, granted.Session, nil
	case own && !r.who.May(access.UsersWrite, theUser(r).Resource):
		return "", "", r.denied(access.UsersWrite, theUser(r).Resource) // comes in at a provider, and is to go on so
	}
	if err := r.overUser(u, "set that user's password"); err != nil {
		return "", "", err
	}
	fresh, err = r.hashed(u.GetName(), password)
	return fresh, "", err
}

// endSessions logs a user out everywhere.
func endSessions(r *request) error {
	u, err := r.user()
	if err != nil {
		return err
	}
	if u.GetId() != r.me() {
		if err := r.overUser(u, "end that user's sessions"); err != nil {
			return err
		}
	}
	return r.endAll(u.GetId(), "logged out everywhere")
}

func (r *request) endAll(user, reason string) error {
	return r.revoke(user, r.g.tenantOf(user), &wire.Command{Body: &wire.Command_RevokeSession{RevokeSession: &wire.RevokeSession{User: user, Reason: reason}}})
}
