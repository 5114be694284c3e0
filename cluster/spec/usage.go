package spec

import (
	"strconv"
	"time"
)

// How a request ended, as usage is summed up by.
const (
	UsageOK      = "ok"      // the client got a whole answer
	UsageRefused = "refused" // the request was at fault, or its model busy: 4xx
	UsageFailed  = "failed"  // the cluster or the engine was: 5xx, or an error event
	UsageGone    = "gone"    // the client left before the end
)

// A RecordFilter says which records of single requests are wanted: those for which every
// field that is set fits. Nodes ask each other by its JSON.
type RecordFilter struct {
	Request, Tenant, User, Key, Deployment, Adapter, Endpoint, Region, Outcome, Code string

	FromMS, ToMS int64 // of the requests' ends, from FromMS on, before ToMS; 0: no bound
}

// UsagePeriods are the lengths of what usage is summed up over, in seconds: the
// finest first, each a multiple of the one before.
var UsagePeriods = [...]uint32{60, 3600, 86400}

// The settings that say for how many days usage is kept: sums by the minute, hour
// and day in the state, and the records of single requests at each gateway.
const (
	SettingUsageMinutes = "usage/minutes-kept"
	SettingUsageHours   = "usage/hours-kept"
	SettingUsageDays    = "usage/days-kept"
	SettingUsageRecords = "usage/records-kept"
)

var usageKept = map[string]int{SettingUsageMinutes: 3, SettingUsageHours: 62, SettingUsageDays: 800, SettingUsageRecords: 3}

// UsageKeptRule says what the settings may be.
const UsageKeptRule = "must be a number of days from 1 to 36500"

// UsageKept reads a value of one of the settings. What is no such value counts as
// the default.
func UsageKept(setting, value string) (keep time.Duration, ok bool) {
	n, err := strconv.Atoi(value)
	if ok = err == nil && n >= 1 && n <= 36500; !ok {
		n = usageKept[setting]
	}
	return time.Duration(n) * 24 * time.Hour, ok
}
