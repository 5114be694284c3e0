package state

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestAWriteDoesNotOutrunALoss: what a gateway decided before somebody lost a
// permission is refused after it, and what it decides anew is judged by that.
func TestAWriteDoesNotOutrunALoss(t *testing.T) {
	epoch := command(func(c *wire.Command) {
		c.Body = &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: spec.SettingSessionEpoch, Value: "7"}}
	})
	for name, c := range map[string]struct {
		loss      *wire.Command
		principal string
		refused   bool
	}{
		"a key revoked":                  {revokeKey("ka"), "key/ka", true},
		"another key revoked":            {revokeKey("kb"), "key/ka", false},
		"a key narrowed":                 {changeKey(&wire.APIKey{Id: "ka", Name: "ka"}), "key/ka", true},
		"a key rotated":                  {rotateKey("ka", "n", 0), "key/ka", true},
		"a key's owner disabled":         {putUser(&wire.User{Id: "ann", Name: "ann", DisabledMs: 5}, 1), "key/ka", true},
		"a user disabled":                {putUser(&wire.User{Id: "ann", Name: "ann", DisabledMs: 5}, 1), "user/ann", true},
		"another user disabled":          {putUser(&wire.User{Id: "bob", Name: "bob", DisabledMs: 5}, 1), "user/ann", false},
		"a user removed":                 {removeUser("ann"), "user/ann", true},
		"a user's key, the user removed": {removeUser("ann"), "key/ka", true},
		"a session ended":                {revokeSession("s1", ""), "user/ann", true},
		"a binding removed":              {unbind("b1"), "user/ann", true},
		"a group's binding removed":      {unbind("b2"), "user/ann", true},
		"a key's binding removed":        {unbind("b3"), "key/kb", true},
		"a role changed":                 {putRole(&wire.AccessRole{Id: "ops"}, 1), "user/bob", true},
		"a role made":                    {putRole(&wire.AccessRole{Id: "new"}, 0), "user/ann", false},
		"a binding made":                 {bind("b9", "user:ann", "viewer", ""), "user/ann", false},
		"all sessions ended":             {epoch, "user/bob", true},
		"a part of the cluster":          {revokeKey("ka"), "reconciler", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := standing(t)
			seen := r.Index()
			c.loss.Principal, c.loss.Level = "key/boss", 2
			r.ok(t, c.loss)
			write := putRole(&wire.AccessRole{Id: "mine"}, 0)
			write.Principal, write.Seen, write.RequestId = c.principal, seen, "once"
			if !c.refused {
				r.ok(t, write)
				return
			}
			entries, _ := r.AuditHead()
			r.refused(t, spec.CodeStaleState, proto.CloneOf(write))
			if after, _ := r.AuditHead(); after != entries {
				t.Error("the audit log tells of a write that is decided on again")
			}
			write.Seen = r.Index() // the gateway has caught up, and lets it pass
			if got := r.ok(t, write); got.GetReplayed() {
				t.Error("the refusal was remembered")
			}
		})
	}
}

// standing is a replica with something to lose.
func standing(t *testing.T) *replica {
	r := newReplica(t)
	key := func(id, owner string) *wire.Command {
		c := putKey(id, "acme", id)
		c.Level, c.GetPutKey().Key.Owner = 2, owner
		return c
	}
	for _, c := range []*wire.Command{
		putUser(&wire.User{Id: "ann", Name: "ann"}, 0), putUser(&wire.User{Id: "bob", Name: "bob"}, 0),
		key("ka", "ann"), key("kb", ""), putSession("s1", "ann", 90_000), putRole(&wire.AccessRole{Id: "ops"}, 0),
		bind("b1", "user:ann", "ops", ""), bind("b2", "group:staff", "ops", ""), bind("b3", "key:kb", "ops", ""),
	} {
		r.ok(t, c)
	}
	return r
}

func TestNamesToLogInByAreToldApartWithoutCase(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putUser(&wire.User{Id: "u1", Name: "Ann"}, 0))
	r.denied(t, spec.CodeAlreadyExists, putUser(&wire.User{Id: "u2", Name: "ANN"}, 0))
	if u, ok := r.UserByName("aNN"); !ok || u.GetId() != "u1" {
		t.Errorf("found %v", u)
	}
	r.ok(t, putUser(&wire.User{Id: "u1", Name: "ann"}, 1))
}

func TestADeploymentIsNotTakenOver(t *testing.T) {
	r := newReplica(t)
	put := func(tenant string, moves bool, from string) *wire.Command {
		c := deploy(&wire.Deployment{Name: "chat", Engine: "external", Tenant: tenant, Replicas: uint32(r.Index())})
		c.Level, c.GetPutDeployment().Moves, c.GetPutDeployment().From = 2, moves, from
		return c
	}
	r.ok(t, put("t1", false, ""))
	r.ok(t, put("t1", false, ""))
	r.denied(t, spec.CodeConflict, put("t2", false, ""))
	r.denied(t, spec.CodeConflict, put("t2", true, "t3"))
	r.ok(t, put("t2", true, "t1"))
	r.denied(t, spec.CodeConflict, put("t1", true, "t1"))
}
