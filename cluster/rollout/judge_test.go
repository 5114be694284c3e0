package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestJudge: a canary is given up as soon as it is certain that it is worse, and promoted when it has
// served for long enough, and enough, without that.
func TestJudge(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	const early, late = time.Minute, 10 * time.Minute
	good := Fare{Attempts: 100, Firsts: 100, FirstSeconds: 20} // .2 s
	for name, c := range map[string]struct {
		after time.Duration
		trial Trial
		want  Verdict
	}{
		"it is early":                           {early, Trial{7, 3, good, good, began, 1, false}, Wait},
		"it is as good":                         {late, Trial{7, 3, good, good, began, 1, false}, Promote},
		"it had too few requests":               {late, Trial{7, 3, good, Fare{Attempts: 49, Firsts: 49, FirstSeconds: 9}, began, 1, false}, Wait},
		"enough":                                {late, Trial{7, 3, good, Fare{Attempts: 50, Firsts: 50, FirstSeconds: 9}, began, 1, false}, Promote},
		"another canary's requests":             {late, Trial{6, 3, good, Fare{Attempts: 100, Failed: 100}, began, 1, false}, Wait},
		"it fails early, for certain":           {early, Trial{7, 3, good, Fare{Attempts: 3, Failed: 3}, began, 1, false}, GiveUp},
		"it failed once, which may be mended":   {early, Trial{7, 3, good, Fare{Attempts: 1, Failed: 1}, began, 1, false}, Wait},
		"it fails as often as it may":           {late, Trial{7, 3, good, Fare{Attempts: 100, Failed: 2, Firsts: 98, FirstSeconds: 10}, began, 1, false}, Promote},
		"it fails more often":                   {late, Trial{7, 3, good, Fare{Attempts: 100, Failed: 3, Firsts: 97, FirstSeconds: 10}, began, 1, false}, GiveUp},
		"both fail":                             {late, Trial{7, 3, Fare{Attempts: 100, Failed: 50, Firsts: 50, FirstSeconds: 9}, Fare{Attempts: 100, Failed: 50, Firsts: 50, FirstSeconds: 9}, began, 1, false}, Promote},
		"it is slow, early":                     {early, Trial{7, 3, good, Fare{Attempts: 100, Firsts: 100, FirstSeconds: 90}, began, 1, false}, Wait},
		"it is slow":                            {late, Trial{7, 3, good, Fare{Attempts: 100, Firsts: 100, FirstSeconds: 31}, began, 1, false}, GiveUp},
		"it is as slow as it may be":            {late, Trial{7, 3, good, Fare{Attempts: 100, Firsts: 100, FirstSeconds: 29}, began, 1, false}, Promote},
		"all are its own":                       {late, Trial{7, 3, Fare{}, Fare{Attempts: 100, Firsts: 100, FirstSeconds: 500}, began, 1, false}, Promote},
		"nobody is beside it yet":               {late, Trial{7, 3, Fare{}, good, began, 1, false}, Wait},
		"another version is beside it by now":   {late, Trial{7, 2, good, Fare{Attempts: 100, Failed: 100}, began, 1, false}, Wait},
		"nobody is beside it, and it fails":     {late, Trial{7, 3, Fare{}, Fare{Attempts: 100, Failed: 30}, began, 1, false}, GiveUp},
		"none of it serves":                     {late, Trial{Broken: true}, GiveUp},
		"it is loaded for long":                 {late, Trial{}, Wait},
		"it was loaded for long":                {late, Trial{7, 3, good, good, began.Add(late - early), 1, false}, Wait},
		"none of it serves yet":                 {early, Trial{Broken: true}, Wait},
		"none of it serves any more, after all": {late, Trial{7, 3, good, good, began, 0, true}, Wait},
	} {
		percent := uint32(20)
		if strings.HasPrefix(name, "all are its own") {
			percent = 100
		}
		canary := &wire.Canary{Percent: percent, Runs: &wire.Deployment{Version: 7}, BeganMs: began.UnixMilli(),
			Verdict: &wire.Verdict{AfterMs: (5 * time.Minute).Milliseconds(), Requests: 50, Failures: 0.02, Slower: 1.5}}
		d := &wire.Deployment{Version: 3, Canary: canary}
		if got, why := Judge(d, c.trial, began.Add(c.after)); got != c.want || why == "" {
			t.Errorf("%s: %v (%s), want %v", name, got, why, c.want)
		}
		canary.Verdict = nil
		if got, _ := Judge(d, c.trial, began.Add(c.after)); got != Wait {
			t.Errorf("%s: %v, though somebody decides", name, got)
		}
	}
}
