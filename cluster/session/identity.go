package session

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	maxGroups     = 256
	maxGroup      = 128 // bytes
	maxUserName   = 64  // characters of one that a provider wishes
	maxEmail      = 254
	userWrites    = 4   // attempts, where others write the same user
	namesOfOne    = 100 // that are tried before a random one
	userIDLen     = 16
	emailVerified = "email_verified"
)

// identityOf reads the claims. Those that are no text, or too long, are not there.
// An address gives a name only where the provider says that it has verified it.
func identityOf(p *provider, subject string, all map[string]json.RawMessage) *identity {
	id := &identity{
		issuer: p.issuer, subject: subject, email: plainly(textOf(all, "email"), maxEmail),
		display: plainly(textOf(all, "name"), maxName), groups: groupsOf(all[p.groups]),
	}
	id.name = userName(textOf(all, "preferred_username"))
	if id.name == "" && strings.Trim(string(all[emailVerified]), `"`) == "true" {
		id.name = userName(id.email)
	}
	return id
}

func textOf(all map[string]json.RawMessage, claim string) string {
	var text string
	if json.Unmarshal(all[claim], &text) != nil {
		return ""
	}
	return text
}

// groupsOf reads one name or a list, sorted and each once: what the provider does
// not say, the user is not in.
func groupsOf(raw json.RawMessage) []string {
	var one string
	var many []any
	if json.Unmarshal(raw, &one) == nil && one != "" {
		many = []any{one}
	} else if json.Unmarshal(raw, &many) != nil {
		return nil
	}
	var out []string
	for _, v := range many {
		if name, ok := v.(string); ok && name != "" && len(name) <= maxGroup && plainly(name, maxGroup) == name {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxGroups)]
}

// userName makes a wish a name that one can log in by, or nothing.
func userName(wish string) string {
	var out []rune
	for _, r := range strings.ToLower(strings.TrimSpace(wish)) {
		switch {
		case len(out) == maxUserName:
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)), strings.ContainsRune("._@+-", r):
			out = append(out, r)
		default:
			out = append(out, '-')
		}
	}
	return strings.Trim(string(out), "-.")
}

// admit finds the user of the identity, brings it up to date, or makes it. A user
// who was here before and is not of the provider is never taken over.
func (s *Server) admit(ctx context.Context, id *identity, from string) (*wire.User, error) {
	for range userWrites {
		user, known := s.cfg.State.UserBySubject(id.issuer, id.subject)
		next, err := s.record(user, known, id)
		if err != nil || next == nil {
			return user, err
		}
		put := &wire.PutUser{User: next, ExpectVersion: user.GetVersion()}
		_, err = s.propose(ctx, "user/"+next.GetId(), plainly(from, maxFrom), &wire.Command{Body: &wire.Command_PutUser{PutUser: put}})
		if err == nil {
			return next, nil
		}
		switch code := spec.CodeOf(err); {
		case code == spec.CodeNotFound && !known: // its tenant is all that a new user needs
			return nil, &spec.Error{
				Code: spec.CodeSSOFailed, Message: "The tenant that the setting " + spec.SettingOIDCTenant + " names is not there.",
				Hint: "Have an administrator correct or remove the setting, then log in again", Err: err,
			}
		case code != spec.CodeConflict && code != spec.CodeAlreadyExists:
			return nil, err
		}
		if err := s.cfg.Barrier(ctx); err != nil { // somebody else wrote it meanwhile
			return nil, asSpec(err)
		}
	}
	return nil, spec.Errorf(spec.CodeConflict, "Others change the user at the same time.")
}

// record is the user as it should be; nil: as it is.
func (s *Server) record(user *wire.User, known bool, id *identity) (*wire.User, error) {
	now := s.cfg.Clock().UnixMilli()
	if !known {
		name, err := s.free(id)
		if err != nil {
			return nil, err
		}
		tenant, _ := s.cfg.State.Setting(spec.SettingOIDCTenant)
		return &wire.User{
			Id: random(userIDLen), Name: name, Email: id.email, Display: id.display, Issuer: id.issuer, Subject: id.subject,
			Groups: id.groups, Tenant: tenant, CreatedMs: now, ChangedMs: now,
		}, nil
	}
	if user.GetDisabledMs() != 0 {
		return nil, spec.Errorf(spec.CodeUserDisabled, "The user %s is disabled.", user.GetName())
	}
	if user.GetEmail() == id.email && user.GetDisplay() == id.display && slices.Equal(user.GetGroups(), id.groups) {
		return nil, nil
	}
	next := proto.CloneOf(user)
	next.Email, next.Display, next.Groups, next.ChangedMs = id.email, id.display, id.groups, now
	return next, nil
}

// free finds a name for a new user. One that another user of a provider has is
// varied; one of a user of the cluster's own is left alone, and nobody gets in.
func (s *Server) free(id *identity) (string, error) {
	wish := id.name
	if wish == "" {
		wish = "user-" + random(8)
	}
	name := wish
	for n := 2; ; n++ {
		other, taken := s.cfg.State.UserByName(name)
		switch {
		case !taken:
			return name, nil
		case other.GetIssuer() == "":
			return "", &spec.Error{
				Code: spec.CodeSSOFailed, Message: "The cluster has a user named " + name + " of its own, who is not taken over by single sign-on.",
				Hint: "Have an administrator rename or remove that user, then log in again",
			}
		case n <= namesOfOne:
			name = wish + "-" + strconv.Itoa(n)
		default:
			name = wish + "-" + random(8)
		}
	}
}
