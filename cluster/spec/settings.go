package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Settings are the names of all that this build reads and an operator writes. The
// first parts of these names are reserved for them.
var Settings = []string{
	"admin/writes-per-minute", SettingAuditKeep, "keys/per-owner", SettingEndpointLimits,
	SettingOIDCIssuer, SettingOIDCClientID, SettingOIDCGroups, SettingOIDCScopes, SettingOIDCTenant,
	SettingRaftVoters, SettingAccessTTL, SettingSessionTTL, SettingRotateEvery,
	SettingUsageMinutes, SettingUsageHours, SettingUsageDays, SettingUsageRecords, SettingModelCopies, SettingCachePurge,
}

// SettingPriority begins the settings that say which priority requests have: of a key,
// a tenant or a deployment, as in priority/keys/ID.
const SettingPriority = "priority/"

// SettingTraffic begins the settings that split a deployment's requests between it and
// others, as in traffic/NAME.
const SettingTraffic = "traffic/"

// PriorityKeys, PriorityTenants and PriorityDeployments are the second parts of those.
const (
	PriorityKeys        = "keys"
	PriorityTenants     = "tenants"
	PriorityDeployments = "deployments"
)

// NoSetting is why nothing may be written under the name, or "": where the first
// part is reserved, a name that is none of Settings is a mistake, and would have no effect.
func NoSetting(name string) string {
	first, _, slashed := strings.Cut(name, "/")
	if !slashed || slices.Contains(Settings, name) {
		return ""
	}
	if strings.HasPrefix(name, SettingPriority) {
		if kind, id, _ := strings.Cut(name[len(SettingPriority):], "/"); id == "" || !slices.Contains([]string{PriorityKeys, PriorityTenants, PriorityDeployments}, kind) {
			return "is no setting that has an effect: there are priority/keys/ID, priority/tenants/ID and priority/deployments/NAME"
		}
		return ""
	}
	var meant []string
	for _, s := range Settings {
		if strings.HasPrefix(s, first+"/") {
			meant = append(meant, s)
		}
	}
	if len(meant) == 0 {
		return ""
	}
	return fmt.Sprintf("is no setting that has an effect: with %s/ there are %s", first, strings.Join(meant, ", "))
}

// SettingEndpointLimits names the setting that bounds what is asked at paths of the
// API by all together: an object of paths, or patterns of paths, and their limits.
const SettingEndpointLimits = "limits/endpoints"

// SettingModelCopies names the setting that says on how many nodes each model's files
// are kept, at least, as far as there are so many.
const SettingModelCopies = "models/copies"

// DefaultModelCopies is what holds without the setting: the death of a node loses nothing.
const DefaultModelCopies = 2

// ModelCopiesRule says what the setting may be.
const ModelCopiesRule = "must be 1 to 100: on how many nodes each model is kept"

// ModelCopies reads a value of SettingModelCopies. What is no such value counts as
// the default.
func ModelCopies(value string) (copies int, ok bool) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 100 {
		return DefaultModelCopies, false
	}
	return n, true
}

// SettingRaftVoters names the setting that says how many servers may vote at most.
const SettingRaftVoters = "raft/voters"

// DefaultRaftVoters is what holds without the setting: it survives two deaths.
const DefaultRaftVoters = 5

// RaftVotersRule says what the setting may be.
const RaftVotersRule = "must be 1, 3 or 5: how many nodes vote at most"

// RaftVoters reads a value of SettingRaftVoters. What is no such value counts as
// the default.
func RaftVoters(value string) (most int, ok bool) {
	n, err := strconv.Atoi(value)
	if err != nil || !slices.Contains([]int{1, 3, 5}, n) {
		return DefaultRaftVoters, false
	}
	return n, true
}
