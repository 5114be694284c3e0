package declare

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A Document is one record as it is wanted, or as the cluster has it.
type Document struct {
	Kind   string
	Name   string
	Fields map[string]any // every field of the kind but its name: string, uint64, int64, []string, map[string]string or *spec.Scale
}

// Title names the document for people.
func (d Document) Title() string { return d.Kind + " " + d.Name }

// A Field is one that documents of a kind have.
type Field struct {
	Name    string
	Default any    // of the type that values have
	Max     uint64 // of a uint64; 0: any
	Help    string
}

// A Kind is what documents may be of.
type Kind struct {
	Name      string
	ID        string // the field that names the document
	Fields    []Field
	Removable bool
	path      string // in the admin API
	check     func(d Document, bad func(field, reason string))
}

const (
	maxReplicas  = 10_000
	maxGPUs      = 64
	maxFallbacks = 4
	maxPlacing   = 64
	maxUint32    = 1<<32 - 1
	maxMemory    = 1 << 50 // bytes
	maxSeconds   = 365 * 24 * 3600
)

// Kinds lists them in the order in which they are written.
func Kinds() []Kind {
	return []Kind{
		{Name: "tenant", ID: "id", path: "/admin/v1/tenants", check: checkTenant, Fields: append([]Field{
			{Name: "name", Default: "", Help: "for people"},
			{Name: "auth_max_age_seconds", Default: int64(900), Help: "how old a gateway's copy of the state may be to let its keys in; 0: strict"},
		}, limitFields()...)},
		{Name: "setting", ID: "name", path: "/admin/v1/settings", check: checkSetting, Fields: []Field{
			{Name: "value", Default: "", Help: "of the whole cluster"},
		}},
		{Name: "deployment", ID: "name", path: "/admin/v1/deployments", Removable: true, check: checkDeployment, Fields: append([]Field{
			{Name: "tenant", Default: "", Help: "owner; empty: every tenant may use it"},
			{Name: "model", Default: "", Help: "name of an imported model; empty for external engines"},
			{Name: "engine", Default: "embedded", Help: "preset: embedded, ollama, llama-server, external"},
			{Name: "options", Default: map[string]string{}, Help: "of the preset"},
			{Name: "replicas", Default: uint64(1), Max: maxReplicas, Help: "copies to run"},
			{Name: "min_per_region", Default: uint64(0), Max: maxReplicas, Help: "copies to have in each allowed region at least"},
			{Name: "regions", Default: []string{}, Help: "that requests and copies never leave; empty: any"},
			{Name: "context", Default: uint64(0), Max: maxUint32, Help: "tokens per request; 0: the preset's default"},
			{Name: "slots", Default: uint64(0), Max: maxUint32, Help: "requests at a time per copy; 0: the preset's default"},
			{Name: "memory_bytes", Default: uint64(0), Max: maxMemory, Help: "reserved per copy and device; 0: estimated"},
			{Name: "residency", Default: "always", Help: "when copies are in memory: always, or on-demand"},
			{Name: "keep_alive_seconds", Default: int64(0), Help: "of on-demand: idle for so long, a copy is unloaded; 0: 600; -1: only for others"},
			{Name: "min_resident_seconds", Default: int64(0), Help: "of on-demand: not unloaded for others before; 0: 30"},
			{Name: "gpus", Default: uint64(1), Max: maxGPUs, Help: "devices of one node that a copy spreads over"},
			{Name: "adapters", Default: map[string]string{}, Help: "LoRA adapters: the name that clients use, and the imported model"},
			{Name: "fallbacks", Default: []string{}, Help: "deployments that serve where no instance of this one can, in this order"},
			{Name: "hedge", Default: "auto", Help: "whether late embeddings are asked for at a second instance: auto, or off"},
			{Name: "scale", Default: noScale, Help: "bounds and targets by which the cluster chooses how many copies run; none: replicas"},
			{Name: "placing", Default: "spread", Help: "spread over regions, zones and nodes; or pack: devices are filled up"},
			{Name: "apart_from", Default: []string{}, Help: "deployments with which it shares no node; its own name: one copy a node"},
			{Name: "nodes", Default: []string{}, Help: "the only ones that copies may be on; empty: any"},
			{Name: "prefer_nodes", Default: []string{}, Help: "that are filled before others"},
			{Name: "cache", Default: "off", Help: "answers that are kept for requests that ask the same: off, deterministic, or opted"},
			{Name: "cache_ttl_seconds", Default: int64(3600), Help: "for which an answer is kept"},
			{Name: "cache_max_bytes", Default: uint64(64 << 20), Max: 1 << 40, Help: "of kept answers at each device"},
			{Name: "cache_scope", Default: "tenant", Help: "whose requests an answer is for: tenant, or shared"},
		}, append(limitFields(), priceFields()...)...)},
	}
}

func kindOf(name string) (Kind, bool) {
	kinds := Kinds()
	if i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return kinds[i], true
	}
	return Kind{}, false
}

func (k Kind) field(name string) (Field, bool) {
	if i := slices.IndexFunc(k.Fields, func(f Field) bool { return f.Name == name }); i >= 0 {
		return k.Fields[i], true
	}
	return Field{}, false
}

func (k Kind) names() []string {
	out := []string{"kind", k.ID}
	for _, f := range k.Fields {
		out = append(out, f.Name)
	}
	return out
}

// blank is a document whose fields have their defaults.
func (k Kind) blank(name string) Document {
	d := Document{Kind: k.Name, Name: name, Fields: map[string]any{}}
	for _, f := range k.Fields {
		d.Fields[f.Name] = f.Default
	}
	return d
}

// The rules below are the admin API's, so that a bad file is found before
// anything of it is written.

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

const nameRule = "must be 1 to 128 of letters, digits, '.', '_', ':' and '-', beginning with a letter or digit"

// settingForm has parts with slashes between; the cluster's own are not written here.
var settingForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._:-]{0,127}){0,2}$`)

const settingRule = "must be one to three parts with '/' between, each of 1 to 128 letters, digits, '.', '_', ':' and '-'; cluster/... is written by the cluster itself"

// named tells why the name is none for a document of the kind, or "".
func (k Kind) named(name string) string {
	switch {
	case k.Name == "setting" && (!settingForm.MatchString(name) || strings.HasPrefix(name, "cluster/")):
		return settingRule
	case k.Name == "setting":
		return spec.NoSetting(name)
	case k.Name != "setting" && !nameForm.MatchString(name):
		return nameRule
	}
	return ""
}

const (
	maxTenant  = 100  // bytes
	maxLabel   = 256  // of a tenant's name
	maxValue   = 4096 // of a setting
	maxRegion  = 64
	maxOptions = 64
	maxAge     = int64(365 * 24 * 3600)
)

func checkTenant(d Document, bad func(field, reason string)) {
	if len(d.Name) > maxTenant {
		bad("id", "must have at most 100 bytes")
	}
	if len(text(d, "name")) > maxLabel {
		bad("name", "must have at most 256 bytes")
	}
	if age := d.Fields["auth_max_age_seconds"].(int64); age < 0 || age > maxAge {
		bad("auth_max_age_seconds", "must be from 0, which is strict, to a year")
	}
	checkLimits(d, bad)
}

func checkSetting(d Document, bad func(field, reason string)) {
	if len(text(d, "value")) > maxValue {
		bad("value", "must have at most 4096 bytes")
	}
	if _, ok := spec.RaftVoters(text(d, "value")); d.Name == spec.SettingRaftVoters && !ok {
		bad("value", spec.RaftVotersRule)
	}
}

func checkRescue(d Document, bad func(field, reason string)) {
	others := d.Fields["fallbacks"].([]string)
	if len(others) > maxFallbacks {
		bad("fallbacks", "must have at most 4 entries")
	}
	for i, name := range others {
		if name == d.Name || slices.Contains(others[:i], name) {
			bad(fmt.Sprintf("fallbacks[%d]", i), "is the deployment itself, or given twice")
		}
	}
	if h := text(d, "hedge"); h != "auto" && h != "off" {
		bad("hedge", "must be auto or off")
	}
}

func checkPlacing(d Document, bad func(field, reason string)) {
	if p := text(d, "placing"); p != "spread" && p != "pack" {
		bad("placing", "must be spread or pack")
	}
	for _, field := range []string{"apart_from", "nodes", "prefer_nodes"} {
		names := d.Fields[field].([]string)
		if len(names) > maxPlacing {
			bad(field, "must have at most 64 entries")
		}
		for i, name := range names {
			if slices.Contains(names[:i], name) {
				bad(fmt.Sprintf("%s[%d]", field, i), "is given twice")
			}
		}
	}
}

func checkDeployment(d Document, bad func(field, reason string)) {
	if len(text(d, "tenant")) > maxTenant {
		bad("tenant", "must have at most 100 bytes")
	}
	switch engine, model := text(d, "engine"), text(d, "model"); {
	case engine == "":
		bad("engine", "must not be empty")
	case engine == "external" && model != "":
		bad("model", "must be empty: an external engine has its model already")
	case engine != "external" && model == "" && d.Fields["options"].(map[string]string)["weights"] == "" && slices.Contains(custom.BuiltIn, engine):
		bad("model", "is missing: name an imported model")
	}
	if len(d.Fields["options"].(map[string]string)) > maxOptions {
		bad("options", "must have at most 64 entries")
	}
	if r := text(d, "residency"); r != "always" && r != "on-demand" {
		bad("residency", "must be always or on-demand")
	}
	if d.Fields["gpus"].(uint64) == 0 {
		bad("gpus", "must be from 1 to 64")
	}
	if keep := d.Fields["keep_alive_seconds"].(int64); keep < -1 || keep > maxSeconds {
		bad("keep_alive_seconds", "must be from -1, which is for ever, to a year")
	}
	if least := d.Fields["min_resident_seconds"].(int64); least < 0 || least > maxSeconds {
		bad("min_resident_seconds", "must be from 0 to a year")
	}
	checkRescue(d, bad)
	checkPlacing(d, bad)
	checkCache(d, bad)
	checkLimits(d, bad)
	checkPrice(d, bad)
	checkScale(d, bad)
	regions := d.Fields["regions"].([]string)
	for i, region := range regions {
		switch {
		case region == "" || len(region) > maxRegion:
			bad("regions", "each must have 1 to 64 bytes")
		case slices.Contains(regions[:i], region):
			bad("regions", "has "+region+" twice")
		}
	}
}

func text(d Document, field string) string { return d.Fields[field].(string) }

// zero is a new value of the type of v.
func zero(v any) reflect.Value { return reflect.New(reflect.TypeOf(v)) }

// settled makes a list or table that is not there an empty one.
func settled(v any) any {
	switch v := v.(type) {
	case []string:
		if v == nil {
			return []string{}
		}
	case map[string]string:
		if v == nil {
			return map[string]string{}
		}
	case *spec.Scale:
		return settle(v)
	}
	return v
}
