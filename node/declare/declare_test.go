package declare

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

const cluster = `# two tenants' worth
kind: deployment
name: chat
model: tiny
options: {batch: 512, flash: on}
replicas: 2
regions: [north, south]
memory_bytes: 1125899906842624
---
kind: tenant
id: acme
auth_max_age_seconds: 0
---
# nothing here
---
kind: setting
name: colour
value: 1e3
`

func parse(t *testing.T, text string) []Document {
	t.Helper()
	docs, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// unlimited adds fields of limits that are not given.
func unlimited(fields map[string]any) map[string]any {
	for _, f := range limitFields() {
		fields[f.Name] = f.Default
	}
	return fields
}

func TestParse(t *testing.T) {
	got := Sort(parse(t, cluster))
	want := []Document{
		{"tenant", "acme", unlimited(map[string]any{"name": "", "auth_max_age_seconds": int64(0)})},
		{"setting", "colour", map[string]any{"value": "1e3"}},
		{"deployment", "chat", unlimited(map[string]any{"price_input": "", "price_cached_input": "", "price_output": "", "tenant": "", "model": "tiny", "engine": "embedded", "options": map[string]string{"batch": "512", "flash": "on"},
			"replicas": uint64(2), "min_per_region": uint64(0), "regions": []string{"north", "south"}, "context": uint64(0), "slots": uint64(0), "memory_bytes": uint64(1 << 50),
			"residency": "always", "keep_alive_seconds": int64(0), "min_resident_seconds": int64(0), "gpus": uint64(1), "adapters": map[string]string{},
			"fallbacks": []string{}, "hedge": "auto", "cache": "off", "cache_ttl_seconds": int64(3600), "cache_max_bytes": uint64(64 << 20), "cache_scope": "tenant", "placing": "spread", "apart_from": []string{}, "nodes": []string{}, "prefer_nodes": []string{}, "scale": noScale})},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if docs := parse(t, ""); len(docs) != 0 {
		t.Errorf("nothing: %v", docs)
	}
}

func TestHowOldTheStateMayBe(t *testing.T) {
	if got := parse(t, "kind: tenant\nid: acme\n")[0].Fields["auth_max_age_seconds"]; got != int64(900) {
		t.Errorf("without a word: %v", got)
	}
	for _, age := range []string{"-1", "31536001"} {
		if _, err := Parse([]byte("kind: tenant\nid: acme\nauth_max_age_seconds: " + age + "\n")); err == nil || !strings.Contains(err.Error(), "from 0, which is strict, to a year") {
			t.Errorf("%s: %v", age, err)
		}
	}
}

func TestSettingsThatTheClusterGoesBy(t *testing.T) {
	for text, want := range map[string]string{
		"kind: setting\nname: raft/voters\nvalue: \"3\"\n":      "",
		"kind: setting\nname: raft/voters\nvalue: \"4\"\n":      "value must be 1, 3 or 5",
		"kind: setting\nname: raft/voter\nvalue: \"3\"\n":       "with raft/ there are raft/voters",
		"kind: setting\nname: oidc/client\nvalue: lb\n":         "oidc/client-id",
		"kind: setting\nname: team/colour\nvalue: red\n":        "",
		"kind: setting\nname: cluster/epoch\nvalue: \"4\"\n":    "is written by the cluster itself",
		"kind: setting\nname: a/b/c/d\nvalue: x\n":              "one to three parts",
		"kind: deployment\nname: a/b\nmodel: m\n":               "name must be 1 to 128",
		"kind: setting\nname: contact\nvalue: whatever it is\n": "",
	} {
		_, err := Parse([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestEveryProblemIsListed(t *testing.T) {
	_, err := Parse([]byte(`kind: deployment
name: chat
mdel: tiny
replicas: -1
regions: north
options: {a: [b]}
---
kind: deploymint
name: x
---
name: y
---
kind: tenant
id: a/b
auth_max_age_seconds: 1.5
---
kind: setting
name: s
value: 1
value: 2
---
kind: deployment
name: far
engine: external
model: tiny
---
kind: setting
name: s
---
- kind
`))
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, want := range []string{
		`line 3: deployment chat: mdel is not known; did you mean "model"?`,
		"line 4: deployment chat: replicas must be a whole number from 0 to 10000",
		"line 5: deployment chat: regions must be a list of strings", "line 6: deployment chat: options must be a mapping of strings",
		`line 8: kind is "deploymint"`, `did you mean "deployment"?`, "line 11: kind is missing", "id must be 1 to 128",
		"line 15: tenant a/b: auth_max_age_seconds must be a whole number", "line 20: value is given twice",
		"deployment far: model must be empty", "setting s: is there already, at line 17", "must be a mapping",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from:\n%v", want, err)
		}
	}
	if len(problems) != 13-1 { // the misspelled kind has two texts
		t.Errorf("%d problems:\n%v", len(problems), err)
	}
	for _, text := range []string{"kind: [", "kind: deployment\nname: &a\n  x: *a\n", "kind: !!binary 77777777\nname: x\n", "\x00", strings.Repeat("a: 1\n", MaxBytes/5+1)} {
		if docs, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.40q: got %v", text, docs)
		}
	}
}

// names and texts are what a cluster may have.
var (
	names = rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._:-]{0,8}`)
	texts = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "null", "true", "on", "1e3", "0x1F", "~", "2020-01-01", "<<", "*a", "a: b", " #", "two\nlines\n", "\u0085", "\ufeff", "---", "- x", "é\u2028", "\ttab", "'\"", "=", "1_000", "!!int"}))
)

func anyDocument(kind Kind) *rapid.Generator[Document] {
	return rapid.Custom(func(t *rapid.T) Document {
		d := kind.blank(names.Draw(t, "name"))
		for _, f := range kind.Fields {
			switch f.Default.(type) {
			case string:
				if strings.HasPrefix(f.Name, "cost_") || strings.HasPrefix(f.Name, "price_") {
					d.Fields[f.Name] = spec.FormatMoney(rapid.Uint64Range(0, 1<<59).Draw(t, f.Name))
					continue
				}
				if f.Name == "on_partition" {
					d.Fields[f.Name] = rapid.SampledFrom([]string{"", "deny", "share"}).Draw(t, f.Name)
					continue
				}
				d.Fields[f.Name] = texts.Draw(t, f.Name)
			case uint64:
				most := f.Max
				if most == 0 {
					most = 1<<64 - 1
				}
				d.Fields[f.Name] = rapid.Uint64Range(0, most).Draw(t, f.Name)
			case int64:
				d.Fields[f.Name] = rapid.Int64Range(0, maxAge).Draw(t, f.Name)
			case []string:
				d.Fields[f.Name] = rapid.SliceOfNDistinct(texts.Filter(func(s string) bool { return s != "" && len(s) <= maxRegion }), 0, 3, rapid.ID).Draw(t, f.Name)
			case map[string]string:
				d.Fields[f.Name] = rapid.MapOfN(texts, texts, 0, 3).Draw(t, f.Name)
			}
		}
		if kind.Name == "deployment" {
			d.Fields["engine"], d.Fields["model"] = "external", ""
			if rapid.Bool().Draw(t, "local") {
				d.Fields["engine"], d.Fields["model"] = "embedded", names.Draw(t, "model")
			}
			d.Fields["tenant"] = names.Draw(t, "tenant")
			d.Fields["residency"] = rapid.SampledFrom([]string{"always", "on-demand"}).Draw(t, "residency")
			d.Fields["hedge"] = rapid.SampledFrom([]string{"auto", "off"}).Draw(t, "hedge")
			d.Fields["placing"] = rapid.SampledFrom([]string{"spread", "pack"}).Draw(t, "placing")
			d.Fields["cache"] = rapid.SampledFrom([]string{"deterministic", "opted"}).Draw(t, "cache")
			d.Fields["cache_ttl_seconds"] = rapid.Int64Range(1, maxCacheTTL).Draw(t, "cache ttl")
			d.Fields["cache_max_bytes"] = rapid.Uint64Range(minCacheBytes, 1<<40).Draw(t, "cache bytes")
			d.Fields["cache_scope"] = "tenant"
			if d.Fields["tenant"] == "" {
				d.Fields["cache_scope"] = rapid.SampledFrom([]string{"tenant", "shared"}).Draw(t, "cache scope")
			}
			d.Fields["fallbacks"] = slices.DeleteFunc(d.Fields["fallbacks"].([]string), func(s string) bool { return s == d.Name })
			d.Fields["gpus"] = rapid.Uint64Range(1, maxGPUs).Draw(t, "gpus")
			if d.Fields["engine"] == "embedded" && rapid.Bool().Draw(t, "scaled") {
				d.Fields["scale"] = anyScale(t)
			}
		}
		return d
	})
}

// anyScale is one that may be.
func anyScale(t *rapid.T) *spec.Scale {
	s := &spec.Scale{Max: rapid.Uint32Range(2, 10_000).Draw(t, "most"), Schedules: []spec.ScaleSchedule{}}
	s.Min = rapid.Uint32Range(1, s.Max).Draw(t, "least")
	s.SlotUse = rapid.SampledFrom([]float64{0, 0.05, 0.7, 1}).Draw(t, "slot use")
	s.TokensPerSecond = rapid.Float64Range(0, 1e9).Draw(t, "tokens")
	s.QueueWaitMS, s.MaxStep = rapid.Uint32Range(0, 600_000).Draw(t, "wait"), rapid.Uint32Range(0, 10_000).Draw(t, "step")
	s.UpWindow, s.DownWindow = rapid.Int64Range(0, 86_400).Draw(t, "up"), rapid.Int64Range(0, 86_400).Draw(t, "down")
	for range rapid.IntRange(0, 2).Draw(t, "schedules") {
		minute := rapid.IntRange(0, 24*60-1)
		s.Schedules = append(s.Schedules, spec.ScaleSchedule{Days: rapid.SliceOfNDistinct(rapid.SampledFrom(spec.ScaleDays), 0, 7, rapid.ID).Draw(t, "days"),
			From: spec.FormatMinute(minute.Draw(t, "from")), To: spec.FormatMinute(minute.Draw(t, "to")),
			Timezone: rapid.SampledFrom([]string{"", "UTC", "Europe/Berlin"}).Draw(t, "zone"), Min: rapid.Uint32Range(1, s.Max).Draw(t, "schedule's least")})
	}
	return s
}

func TestEveryProblemOfAScaleIsListed(t *testing.T) {
	_, err := Parse([]byte(`kind: deployment
name: chat
model: tiny
scale:
  min: two
  maximum: 4
  slot_use: "0.5"
  schedules:
    - {from: 08:00, to: 9, day: mon}
    - 5
---
kind: deployment
name: other
model: tiny
scale: {max: 0, schedules: [{from: "25:00", to: "09:00", min: 1}]}
---
kind: deployment
name: third
model: tiny
scale: 5
`))
	for _, want := range []string{
		"line 5: deployment chat: scale.min must be a whole number of 0 or more", `line 6: deployment chat: scale.maximum is not known`,
		"line 7: deployment chat: scale.slot_use must be a number", `line 9: deployment chat: scale.schedules[0].day is not known; did you mean "days"?`,
		"line 10: deployment chat: scale.schedules[1] must be a mapping", "scale.max must be from 1", "scale.min must be 1 at least",
		"scale.schedules[0].from must be a time of the day", "line 20: deployment third: scale must be a mapping",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from:\n%v", want, err)
		}
	}
}

func anyDocuments(t *rapid.T, label string) []Document {
	var out []Document
	for _, kind := range Kinds() {
		out = append(out, rapid.SliceOfNDistinct(anyDocument(kind), 0, 4, Document.Title).Draw(t, label+" "+kind.Name)...)
	}
	return out
}

// TestRoundTripIsExact: what Format writes, Parse reads, and Compare finds no
// difference; once more, and the bytes are the same.
func TestRoundTripIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := anyDocuments(t, "have")
		raw, err := Format(have)
		if err != nil {
			t.Fatal(err)
		}
		read, err := Parse(raw)
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		if want := Sort(have); len(want)+len(read) > 0 && !reflect.DeepEqual(read, want) {
			t.Fatalf("wrote %v\nread  %v\n%s", want, read, raw)
		}
		if p := Compare(have, read, true); len(p.Changes) > 0 || len(p.Left) > 0 || p.Unchanged != len(have) {
			t.Fatalf("a difference: %+v", p)
		}
		again, err := Format(read)
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("%s\nbecame\n%s, %v", raw, again, err)
		}
	})
}

// FuzzParse: whatever the file has, it is an error or documents that survive
// being written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{cluster, "kind: setting\nname: &a s\nvalue: *a\n", "? [a]\n: b\n", "a: &a [*a]\n", "kind: setting\nname: s\nvalue: !!binary aGk=\n", "%YAML 1.1\n---\nkind: tenant\nid: t\n", "kind: deployment\nname: d\nengine: external\n<<: {replicas: 3}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		docs, err := Parse(raw)
		if err != nil {
			var p Problems
			if !errors.As(err, &p) || len(p) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		text, err := Format(docs)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil || len(docs) > 0 && !reflect.DeepEqual(again, Sort(docs)) {
			t.Fatalf("%v became %v, %v\n%s", docs, again, err, text)
		}
	})
}

// TestTheExampleHasEveryField of every kind, and can be read.
func TestTheExampleHasEveryField(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "examples", "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, d := range parse(t, string(raw)) {
		kinds[d.Kind] = true
	}
	for _, k := range Kinds() {
		if !kinds[k.Name] {
			t.Errorf("there is no %s", k.Name)
		}
		for _, f := range k.Fields {
			if !strings.Contains(string(raw), "\n"+f.Name+":") {
				t.Errorf("%s of %s is missing", f.Name, k.Name)
			}
		}
	}
}
