package spec

import (
	"slices"
	"strconv"
)

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
