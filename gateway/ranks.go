package gateway

import (
	"iter"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/fair"
)

// A rank is which priority requests have that say nothing, and which they may ask for
// at most.
type rank struct{ usual, most fair.Priority }

const rankRule = "must be low, normal, high or critical, or as in normal..high first what requests have that say nothing, then the most that they may ask for"

// parseRank reads a setting: a priority, or two with .. between.
func parseRank(value string) (rank, bool) {
	usual, most, two := strings.Cut(value, "..")
	if !two {
		most = usual
	}
	u, ok := fair.ParsePriority(usual)
	m, ok2 := fair.ParsePriority(most)
	return rank{u, m}, ok && ok2 && u <= m
}

// A ranked is what a setting gives a rank to.
type ranked struct{ kind, id string }

// ranks are those that settings give. Requests read them without a lock.
type ranks struct {
	now atomic.Pointer[map[ranked]rank]
}

func rankedBy(setting string) (ranked, bool) {
	rest, ok := strings.CutPrefix(setting, spec.SettingPriority)
	kind, id, _ := strings.Cut(rest, "/")
	return ranked{kind, id}, ok && id != ""
}

// reload reads all settings anew. Only one may change ranks at a time.
func (s *ranks) reload(all iter.Seq[Setting]) {
	next := map[ranked]rank{}
	for setting := range all {
		if of, ok := rankedBy(setting.Name); ok {
			if r, ok := parseRank(setting.Value); ok {
				next[of] = r
			}
		}
	}
	s.now.Store(&next)
}

// follow takes over a setting that has changed.
func (s *ranks) follow(setting string, read func(string) (string, bool)) {
	of, ok := rankedBy(setting)
	if !ok {
		return
	}
	next := map[ranked]rank{}
	if now := s.now.Load(); now != nil {
		next = maps.Clone(*now)
	}
	delete(next, of)
	if value, ok := read(setting); ok {
		if r, ok := parseRank(value); ok {
			next[of] = r
		}
	}
	s.now.Store(&next)
}

// of is the rank of a request: its key's, or else its tenant's, or else the deployment's.
// Where no setting says anything, requests are normal, and may ask to be low.
func (s *ranks) of(key, tenant, deployment string) rank {
	now := s.now.Load()
	if now == nil || len(*now) == 0 {
		return rank{}
	}
	for _, by := range [...]ranked{{spec.PriorityKeys, key}, {spec.PriorityTenants, tenant}, {spec.PriorityDeployments, deployment}} {
		if r, ok := (*now)[by]; ok {
			return r
		}
	}
	return rank{}
}
