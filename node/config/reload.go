package config

import (
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/lotabots/lotabots/actors/engine/custom"
)

// Reloadable is what a running node can change without harm: no socket, no
// identity, no device hangs on it. A key is reloadable where it says so (its
// Field.Reload) and stands here; a test holds the two together.
type Reloadable struct {
	LogLevel     slog.Level
	QueueTimeout time.Duration
	LoadTimeout  time.Duration
	FirstToken   time.Duration
	NextToken    time.Duration
	ShutdownIn   time.Duration
	DeadGrace    time.Duration
	DrainGrace   time.Duration
	SettleTime   time.Duration
	ExternalURL  []string
	FetchRate    int
	ModelsDisk   int
	ModelsGrace  time.Duration
	ScrubEvery   time.Duration
	VerifyRate   int
	PullURLs     []string
	PullRanges   []string
	Sample       float64
	ChaosAllow   bool // read from the file by those who inject faults
}

// Reloadable picks the part of a checked configuration that may change.
func (c Config) Reloadable() Reloadable {
	r := Reloadable{
		QueueTimeout: c.API.QueueTimeout, LoadTimeout: c.API.LoadTimeout, FirstToken: c.API.FirstToken, NextToken: c.API.NextToken, ShutdownIn: c.API.ShutdownIn,
		DeadGrace: c.Placement.DeadGrace, DrainGrace: c.Placement.DrainGrace, SettleTime: c.Placement.SettleTime,
		ExternalURL: slices.Clone(c.Engines.ExternalURL), Sample: c.Telemetry.Sample, ChaosAllow: c.Chaos.Allow,
	}
	r.FetchRate, r.ModelsDisk, r.ModelsGrace, r.ScrubEvery, r.VerifyRate = c.Models.FetchRate, c.Models.Disk, c.Models.Grace, c.Models.ScrubEvery, c.Models.VerifyRate
	r.PullURLs, r.PullRanges = slices.Clone(c.Models.PullURLs), slices.Clone(c.Models.PullRanges)
	_ = r.LogLevel.UnmarshalText([]byte(c.Log.Level)) // checked with the configuration
	return r
}

// A Change is one key whose value differs between two configurations.
type Change struct {
	Key  string `json:"key"`
	From string `json:"from"` // as a file has it; passwords in URLs are left out
	To   string `json:"to"`
}

// Changes compares two configurations: what a running node takes over, and what
// needs a restart.
func Changes(from, to Config) (taken, restart []Change) {
	before, after := toMap(from), toMap(to)
	for _, f := range Schema() {
		a, b := before[f.Key], after[f.Key]
		if sameValue(a, b) {
			continue
		}
		c := Change{f.Key, Text(public(a)), Text(public(b))}
		if f.Reload {
			taken = append(taken, c)
		} else {
			restart = append(restart, c)
		}
	}
	return taken, restart
}

// sameValue takes a list that is empty for one that is not there.
func sameValue(a, b any) bool {
	if x, ok := a.([]string); ok {
		return slices.Equal(x, b.([]string))
	}
	if x, ok := a.([]custom.Preset); ok && len(x) == 0 {
		return len(b.([]custom.Preset)) == 0
	}
	return reflect.DeepEqual(a, b)
}

// WithReloadable is c with the reloadable keys of other.
func (c Config) WithReloadable(other Config) Config {
	to, from := reflect.ValueOf(&c).Elem(), reflect.ValueOf(other)
	for i := range to.NumField() {
		for j := range to.Field(i).NumField() {
			if to.Field(i).Type().Field(j).Tag.Get("reload") == "yes" {
				to.Field(i).Field(j).Set(from.Field(i).Field(j))
			}
		}
	}
	return c
}
