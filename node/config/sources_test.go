package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"pgregory.net/rapid"
)

// others has for each key three valid values, unlike its default and each other.
func others(t *testing.T, f Field) [3]string {
	t.Helper()
	if v, ok := map[string][3]string{
		"node.id": {"a", "b", "c"}, "node.roles": {"[worker]", "[gateway]", "[worker, voter]"}, "devices.kind": {"nvidia", "cpu", "nvidia"},
		"log.level": {"debug", "warn", "error"}, "log.format": {"text", "text", "text"}, "api.usage": {"durable", "off", "durable"}, "telemetry.sample": {"0.1", "0.2", "0.3"},
		"backup.recipient":      {"[age1a]", "[age1b, age1c]", "[age1d]"},
		"cluster.seeds":         {"[h1:1]", "[h2:2, h3:3]", "[[::1]:7946]"},
		"engines.external-urls": {"[http://a/]", "[https://b/x, http://c]", "[http://[::1]:80/]"},
		"engines.presets": {`[{name: one-engine, command: [p, '{port}']}]`, `[{name: two-engine, command: [p, "{socket}"], env: {A: b}}]`,
			`[{"name":"three-engine","command":["p","{port}"],"options":{"a":{"type":"int","max":2,"flag":"-a"}}}]`},
		"api.public-url":          {"http://a", "http://b", "https://c"},
		"models.pull-ranges":      {"[10.0.0.0/8]", "[10.1.0.0/16, ::1/128]", "[fd00::/8]"},
		"models.pull-urls":        {"[http://a/]", "[https://b/x, http://c:1]", "[https://d]"},
		"engines.external-ranges": {"[10.0.0.0/8]", "[10.1.0.0/16, ::1/128]", "[fd00::/8]"},
		"api.trusted-proxies":     {"[10.0.0.0/8]", "[10.1.0.0/16, ::1/128]", "[fd00::/8]"},
		"api.cors-origins":        {"[http://a]", "[https://b, http://c:8080]", "[http://d]"},
		"api.cors-credentials":    {"true", "true", "true"},
		"engines.user":            {"nobody", "1500:1500", "65534:1"},
		"telemetry.otlp":          {"http://a", "http://b", "https://c"}, "chaos.allow": {"true", "true", "true"},
	}[f.Key]; ok {
		return v
	}
	switch {
	case f.Type.String() == "time.Duration":
		return [3]string{"1h1m1s", "2h0m0s", "3.5s"}
	case f.Type.Kind() == reflect.Int:
		return [3]string{"5001", "5002", "5003"}
	case strings.HasSuffix(f.Key, "listen"), strings.HasSuffix(f.Key, "advertise"):
		return [3]string{"h1:1001", "h2:1002", "[::1]:1003"}
	case f.Type.Kind() == reflect.String:
		return [3]string{"one", "two", "three: #3"}
	}
	t.Fatalf("no values of %s are known to the test", f.Key)
	return [3]string{}
}

// TestEachKeyFromEachSource: the file over the default, the environment over the
// file, a flag over both.
func TestEachKeyFromEachSource(t *testing.T) {
	for _, f := range Schema() {
		v := others(t, f)
		section, key, _ := strings.Cut(f.Key, ".")
		text := fmt.Sprintf("%s:\n  %s: %s\n", section, key, v[0])
		if f.Key != "node.id" {
			text = strings.Replace("node:\n  id: n1\n"+text, "\nnode:\n", "\n", 1)
		}
		file := write(t, text)
		env := func(name string) (string, bool) { return v[1], name == f.Env }
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		AddFlags(flags)
		if err := flags.Parse([]string{"--" + f.Flag, v[2]}); err != nil {
			t.Fatal(err)
		}
		for i, s := range []Sources{{File: file}, {File: file, Env: env}, {File: file, Env: env, Flags: flags}} {
			c, err := Load(s)
			if err != nil {
				t.Errorf("%s = %s: %v", f.Key, v[i], err)
				continue
			}
			if got := toMap(c)[f.Key]; fmt.Sprint(got) != v[i] && !sameList(got, v[i]) {
				t.Errorf("%s: got %v from source %d, want %s", f.Key, got, i, v[i])
			}
		}
	}
}

func sameList(got any, want string) bool {
	if presets, ok := got.([]custom.Preset); ok {
		read, err := custom.Parse([]byte(want))
		return err == nil && reflect.DeepEqual(presets, read)
	}
	list, ok := got.([]string)
	return ok && reflect.DeepEqual(list, splitList(want))
}

func TestNamesOfKeysAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, f := range Schema() {
		for _, name := range []string{f.Key, "--" + f.Flag, f.Env} {
			if seen[name] != "" {
				t.Errorf("%s is of %s and of %s", name, seen[name], f.Key)
			}
			seen[name] = f.Key
		}
		if strings.HasPrefix(f.Flag, "-") || f.Env != strings.ToUpper(f.Env) {
			t.Errorf("%s: --%s, %s", f.Key, f.Flag, f.Env)
		}
	}
}

// TestEveryExampleIsValid: a user copies them.
func TestEveryExampleIsValid(t *testing.T) {
	for _, f := range Schema() {
		env := func(name string) (string, bool) {
			if name == f.Env {
				return f.Example, true
			}
			return "n1", name == "LOTABOTS_NODE_ID"
		}
		if _, err := Load(Sources{Env: env}); err != nil {
			t.Errorf("%s: %v", f.Key, err)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"node.id: n1\n":                                      `no key "node.id"`, // must be nested
		"node:\n  id: n1\nnodes:\n  id: n2\n":                `no key "nodes"`,
		"node:\n  id:\n    sub: n1\n":                        "node.id",
		"node: n1\n":                                         `no key "node"`,
		"node:\n  id: n1\nlog:\n  level: {}\n":               "log.level",
		"node:\n  id: n1\nlog:\n  level: [a, b]\n":           "log.level",
		"node:\n  id: n1\n  id: n2\n":                        "id",
		"node:\n  id: n1\ntelemetry:\n  sample: .nan\n":      "telemetry.sample",
		"node:\n  id: n1\ncluster:\n  listen: h:port\n":      "is no port",
		"node:\n  id: n1\ncluster:\n  seeds: [h]\n":          "cluster.seeds",
		"node:\n  id: n1\nengines:\n  external-urls: [/x]\n": "engines.external-urls",
		"node:\n  id: n1\ndevices:\n  memory-mb: -1\n":       "devices.memory-mb",
		"node:\n  id: n1\n  roles: []\n":                     "at least one role",
	} {
		if _, err := Load(Sources{File: write(t, text), Env: none}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	c, err := Load(Sources{File: write(t, "node:\n  id: n1\n  roles: worker , gateway\nchaos:\nlog: {}\n")})
	if err != nil || !reflect.DeepEqual(c.Node.Roles, []string{"worker", "gateway"}) || c.Log != Default().Log {
		t.Errorf("empty sections and a list in one string: %+v, %v", c, err)
	}
	if _, err := Load(Sources{File: filepath.Join(t.TempDir(), "none.yaml")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestProblemsComeInOneOrder: a map's order is another each time.
func TestProblemsComeInOneOrder(t *testing.T) {
	text := "api:\n  listen: x\n  advertise: x\n  queue-timeout: 0s\n  next-token-timeout: -1s\ncluster:\n  listen: x\n  advertise: x\nz: 1\ny: 1\n"
	_, first := Load(Sources{File: write(t, text)})
	var problems Problems
	if !errors.As(first, &problems) || len(problems) != 9 { // and the id, which is empty
		t.Fatalf("got %v", first)
	}
	for range 20 {
		path := write(t, text)
		_, again := Load(Sources{File: path})
		var p Problems
		if !errors.As(again, &p) {
			t.Fatal(again)
		}
		for i := range p {
			if p[i].Key != problems[i].Key {
				t.Fatalf("got %v\nthen %v", first, again)
			}
		}
	}
}

// TestAnyConfigurationSurvivesItsFile draws a value for every key.
func TestAnyConfigurationSurvivesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.yaml")
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"a: b", "#c", "[x]", "{y}", "- z", "'", `"`, "null", "true", "1e3", "~", "two\nlines", " ", "é\u2028\u0085"}))
	rapid.Check(t, func(t *rapid.T) {
		want := Default()
		v := reflect.ValueOf(&want).Elem()
		for i := range v.NumField() {
			for j := range v.Field(i).NumField() {
				f := v.Field(i).Field(j)
				switch name := v.Type().Field(i).Name + "." + v.Field(i).Type().Field(j).Name; f.Interface().(type) {
				case string:
					f.SetString(text.Draw(t, name))
				case []string:
					f.Set(reflect.ValueOf(rapid.SliceOfN(text, 0, 3).Draw(t, name)))
				case []custom.Preset:
					for range rapid.IntRange(0, 2).Draw(t, name) {
						p := custom.Preset{Name: text.Draw(t, "name"), Command: rapid.SliceOfN(text, 1, 3).Draw(t, "command"), Env: map[string]string{text.Draw(t, "variable"): text.Draw(t, "value")},
							Options: map[string]custom.Option{text.Draw(t, "option"): {Type: text.Draw(t, "type"), Max: rapid.Float64Range(0, 1e300).Draw(t, "max"), Flag: text.Draw(t, "flag")}}}
						f.Set(reflect.Append(f, reflect.ValueOf(p)))
					}
				case bool:
					f.SetBool(rapid.Bool().Draw(t, name))
				case float64:
					f.SetFloat(rapid.Float64Range(0, 1).Draw(t, name))
				default: // int, time.Duration
					f.SetInt(int64(rapid.IntRange(0, 1<<40).Draw(t, name)))
				}
			}
		}
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := Load(Sources{File: path})
		var problems Problems // of values that make no sense: they are read all the same
		if err != nil && !errors.As(err, &problems) {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.Unread {
				t.Fatalf("could not be read: %v", p)
			}
		}
		if !reflect.DeepEqual(got, want) {
			raw, _ := os.ReadFile(path)
			t.Fatalf("wrote %+v\nread  %+v\n%s", want, got, raw)
		}
	})
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	path := write(t, "old")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, Default()); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
}

// FuzzLoad: whatever the file has, it is an error or a configuration that
// survives being written.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{"node:\n  id: n1\n", "node: [\n", "1: 2\n? [a]\n: b\n", "node: &a\n  id: *a\n", "api:\n  max-body: 1e9\n", "node:\n  id: n1\n  zone: \"\\u0085\"\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Load(Sources{File: write(t, text), Env: none})
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "again.yaml")
		if err := Write(path, c); err != nil {
			t.Fatal(err)
		}
		again, err := Load(Sources{File: path, Env: none})
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", c) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}
