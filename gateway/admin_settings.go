package gateway

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// maxValue bounds a setting, in bytes.
const maxValue = 4096

// settingForm is what names of settings look like: parts with slashes between.
var settingForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._:-]{0,127}){0,2}$`)

const settingRule = "must be one to three parts with '/' between, each of 1 to 128 letters, digits, '.', '_', ':' and '-'; cluster/... is written by the cluster itself"

// ofCluster tells whether the cluster keeps the setting for itself: it is neither
// shown nor written here.
func ofCluster(name string) bool { return strings.HasPrefix(name, "cluster/") }

// A Setting is a value that the whole cluster has.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func listSettings(r *request) error {
	return onePage(r, listing[Setting, Setting]{
		id:   func(s Setting) string { return s.Name },
		sees: func(s Setting) bool { return !ofCluster(s.Name) },
		show: func(s Setting) Setting { return s },
	}, []walk[Setting]{r.g.cfg.State.SettingsPage})
}

// known are the settings that this build reads, and what they must be.
var known = map[string]struct {
	ok   func(value string) bool
	want string
}{
	spec.SettingOIDCIssuer:     {isIssuer, "must be an https URL, or http on this machine, without query"},
	spec.SettingOIDCClientID:   {func(s string) bool { return s != "" }, "must not be empty: remove the setting instead"},
	spec.SettingAccessTTL:      {isDuration(time.Minute, time.Hour), "must be a duration from 1m to 1h"},
	spec.SettingSessionTTL:     {isDuration(time.Hour, 365*24*time.Hour), "must be a duration from 1h to 8760h"},
	"sessions/rotate-every":    {isDuration(time.Hour, 365*24*time.Hour), "must be a duration from 1h to 8760h"},
	spec.SettingRaftVoters:     {isVoters, spec.RaftVotersRule},
	spec.SettingModelCopies:    {isCopies, spec.ModelCopiesRule},
	"audit/keep-days":          {isDays, "must be a number of days from 0, for all, to 36500"},
	spec.SettingUsageMinutes:   {isKept, spec.UsageKeptRule},
	spec.SettingUsageHours:     {isKept, spec.UsageKeptRule},
	spec.SettingUsageDays:      {isKept, spec.UsageKeptRule},
	spec.SettingUsageRecords:   {isKept, spec.UsageKeptRule},
	settingWrites:              {isCount, countRule},
	spec.SettingEndpointLimits: {isEndpoints, endpointsRule},
	settingKeys:                {isCount, countRule},
	spec.SettingCachePurge:     {isPurge, spec.CachePurgeRule},
}

func isPurge(s string) bool {
	_, _, ok := spec.ParseCachePurge(s)
	return ok
}

func isKept(s string) bool {
	_, ok := spec.UsageKept(spec.SettingUsageDays, s)
	return ok
}

func isCopies(s string) bool {
	_, ok := spec.ModelCopies(s)
	return ok
}

func isVoters(s string) bool {
	_, ok := spec.RaftVoters(s)
	return ok
}

func isIssuer(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "127.0.0.1" || host == "::1" || host == "localhost")
}

func isDuration(least, most time.Duration) func(string) bool {
	return func(s string) bool {
		d, err := time.ParseDuration(s)
		return err == nil && d >= least && d <= most
	}
}

func isDays(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= 36500
}

func checkSettingName(f *form, name string) {
	f.check(settingForm.MatchString(name) && !ofCluster(name), "name", settingRule)
}

func putSetting(r *request) error {
	var ask struct {
		Value *string `json:"value"`
	}
	name := r.param("name")
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	checkSettingName(f, name)
	no := spec.NoSetting(name) // which may be removed: an older build let it be written
	f.check(no == "", "name", no)
	f.check(ask.Value != nil, "value", "is missing")
	if ask.Value != nil {
		f.check(len(*ask.Value) <= maxValue, "value", "must have at most 4096 bytes")
		if k, ok := known[name]; ok {
			f.check(k.ok(*ask.Value), "value", k.want)
		}
		if strings.HasPrefix(name, spec.SettingTraffic) {
			_, ok := parseTraffic(*ask.Value)
			f.check(ok, "value", trafficRule)
		}
		if strings.HasPrefix(name, spec.SettingPriority) {
			_, ok := parseRank(*ask.Value)
			f.check(ok, "value", rankRule)
		}
	}
	if err := f.err(); err != nil {
		return err
	}
	_, err = r.propose(&wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: *ask.Value}}})
	if err != nil {
		return err
	}
	return r.json(200, Setting{name, *ask.Value})
}

func removeSetting(r *request) error {
	name := r.param("name")
	f := &form{}
	checkSettingName(f, name)
	if err := f.err(); err != nil {
		return err
	}
	_, err := r.propose(&wire.Command{Body: &wire.Command_RemoveSetting{RemoveSetting: &wire.RemoveSetting{Name: name}}})
	return r.removed(name, err)
}

// putSecret sets a value that only the voters can read: it is encrypted here, and
// never shown again.
func putSecret(r *request) error {
	var ask struct {
		Value string `json:"value" secret:"yes"`
	}
	name := r.param("name")
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	f.check(ask.Value != "" && len(ask.Value) <= maxValue, "value", "must have 1 to 4096 bytes")
	if err := f.err(); err != nil {
		return err
	}
	if name != spec.OIDCClientSecret {
		return &spec.Error{Code: spec.CodeNotFound, Message: "There is no secret " + strconv.Quote(clip(name, 100)) + " that could be set.", Hint: "The one is " + spec.OIDCClientSecret + "."}
	}
	if r.g.cfg.Seal == nil {
		return r.elsewhere("set secrets")
	}
	sealed, err := r.g.cfg.Seal(name, []byte(ask.Value))
	if err != nil {
		return err
	}
	old, _ := r.g.cfg.State.Secret(name)
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: sealed, ExpectVersion: old.GetVersion()}}})
	if err != nil {
		return err
	}
	return r.json(200, struct {
		Name    string `json:"name"`
		Version uint64 `json:"version"`
	}{name, res.GetVersion()})
}
