package gateway

import (
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
)

// Settings by which one who has little power cannot fill the state, nor the audit
// log, which keeps a number of entries.
const (
	settingWrites = "admin/writes-per-minute" // of each who may not write in the whole cluster, at each gateway; unset: usualWrites
	settingKeys   = "keys/per-owner"          // that are in force; unset: usualKeys

	usualWrites = 600
	usualKeys   = 100
	mostOfEach  = 1_000_000
)

func isCount(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= mostOfEach
}

const countRule = "must be a number from 1 to 1000000"

// count is what the setting says, or what is usual.
func (g *Gateway) count(setting string, usual int) int {
	text, _ := g.cfg.State.Setting(setting)
	if n, err := strconv.Atoi(text); err == nil && n >= 1 {
		return n
	}
	return usual
}

// paced holds back who makes too many changes. Those of a user and of the keys that
// it owns are the user's.
func (r *request) paced(op *Operation) error {
	if op.Method == get || op.from == stateless || r.try > 0 || r.who.May(access.TenantsWrite, access.Cluster) {
		return nil
	}
	name := "user/" + r.who.User
	if r.who.User == "" {
		name = "key/" + r.who.Key
	}
	most := r.g.count(settingWrites, usualWrites)
	wait := r.g.pace.Take(name, most)
	if wait == 0 {
		return nil
	}
	return &limited{after: max(wait, time.Second), err: &spec.Error{Code: spec.CodeRateLimited,
		Message: "Too many changes: " + strconv.Itoa(most) + " a minute are allowed, a third of these at once.",
		Hint:    "Wait for Retry-After, or have the setting " + settingWrites + " raised."}}
}

// roomForKey refuses an owner one key more than it may have in force. Two that are
// made at once may both be let through.
func (r *request) roomForKey(owner string) error {
	if owner == "" {
		return nil
	}
	most, now, have := r.g.count(settingKeys, usualKeys), time.Now().UnixMilli(), 0
	for cursor := ""; ; {
		page, next := r.g.cfg.State.KeysOf(owner, cursor, mostPage)
		for _, k := range page {
			if k.GetRevokedMs() == 0 && (k.GetExpiresMs() == 0 || k.GetExpiresMs() > now) {
				have++
			}
		}
		if cursor = next; cursor == "" || have >= most {
			break
		}
	}
	if have < most {
		return nil
	}
	return &spec.Error{Code: spec.CodeInvalidRequest, Param: "owner", Message: "The owner has " + strconv.Itoa(have) + " keys in force, and may have " + strconv.Itoa(most) + ".",
		Hint: "Revoke some, or have the setting " + settingKeys + " raised."}
}
