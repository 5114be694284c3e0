package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write node/examples/node.yaml anew")

// TestTheExampleIsTheSchema: same keys, same defaults, and it loads.
func TestTheExampleIsTheSchema(t *testing.T) {
	path := filepath.Join("..", "examples", "node.yaml")
	if *update {
		if err := os.WriteFile(path, []byte(Example()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != Example() {
		t.Error("node/examples/node.yaml does not tell what the schema says: run go test ./node/config -update")
	}
	c, values, err := Effective(Sources{File: path})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Node.ID = exampleID
	if taken, restart := Changes(want, c); len(taken)+len(restart) > 0 {
		t.Errorf("the example differs from the defaults: %v %v", taken, restart)
	}
	for _, v := range values {
		if v.Source != FromFile+" "+path {
			t.Errorf("%s is not in the example: its value is from %s", v.Key, v.Source)
		}
	}
	for _, f := range Schema() {
		if !strings.Contains(string(raw), "# "+f.Help+".") {
			t.Errorf("the example does not say what %s does", f.Key)
		}
	}
}

// TestReloadableIsWhatTheSchemaSays changes each key alone.
func TestReloadableIsWhatTheSchemaSays(t *testing.T) {
	first := Default()
	first.Node.ID = "n1"
	count := 0
	for _, f := range Schema() {
		env := func(name string) (string, bool) {
			if name == f.Env {
				return others(t, f)[0], true
			}
			return "n1", name == "LOTABOTS_NODE_ID"
		}
		next, err := Load(Sources{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		taken, restart := Changes(first, next)
		if len(taken)+len(restart) != 1 || (len(taken) == 1) != f.Reload || append(taken, restart...)[0].Key != f.Key {
			t.Errorf("%s changed: taken %v, restart %v", f.Key, taken, restart)
		}
		if same := reflect.DeepEqual(first.Reloadable(), next.Reloadable()); same == f.Reload {
			t.Errorf("%s: reload %v, and Reloadable is the same: %v", f.Key, f.Reload, same)
		}
		running := first.WithReloadable(next)
		if got := reflect.DeepEqual(running, next); got != f.Reload {
			t.Errorf("%s: reload %v, and taken over: %v", f.Key, f.Reload, got)
		}
		if f.Reload {
			count++
		}
	}
	if n := reflect.TypeFor[Reloadable]().NumField(); n != count {
		t.Errorf("Reloadable has %d fields for %d keys", n, count)
	}
}

func TestEffectiveTellsTheSourceAndNoPassword(t *testing.T) {
	file := write(t, "node:\n  id: n1\nengines:\n  external-urls: [\"https://u:secret@h/\"]\nlog:\n  level: debug\n")
	env := func(k string) (string, bool) { return "http://me:hidden@h:4318", k == "LOTABOTS_TELEMETRY_OTLP" }
	_, values, err := Effective(Sources{File: file, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		want := FromDefault
		switch v.Key {
		case "node.id", "engines.external-urls", "log.level":
			want = FromFile + " " + file
		case "telemetry.otlp":
			want = FromEnv + " LOTABOTS_TELEMETRY_OTLP"
		}
		if v.Source != want {
			t.Errorf("%s is from %q, want %q", v.Key, v.Source, want)
		}
		if strings.Contains(v.Text(), "secret") || strings.Contains(v.Text(), "hidden") {
			t.Errorf("%s shows a password: %s", v.Key, v.Text())
		}
	}
}

func TestProblemsNameKeyValueSourceAndExample(t *testing.T) {
	file := write(t, "node:\n  id: n1\n  regoin: x\napi:\n  max-body: many\n  listen: \"8080\"\n")
	env := func(k string) (string, bool) { return "http://me:hidden@", k == "LOTABOTS_TELEMETRY_OTLP" }
	_, err := Load(Sources{File: file, Env: env})
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	byKey := map[string]Problem{}
	for _, p := range problems {
		if _, twice := byKey[p.Key]; twice {
			t.Errorf("%s is listed twice: %v", p.Key, problems)
		}
		byKey[p.Key] = p
	}
	if p := byKey["node.regoin"]; p.Nearest != "node.region" || p.Source != file {
		t.Errorf("unknown key: %+v", p)
	}
	if p := byKey["api.max-body"]; p.Value != "many" || p.Example == "" || p.Source != FromFile+" "+file || !strings.Contains(p.Reason, "integer") {
		t.Errorf("wrong type: %+v", p)
	}
	if p := byKey["api.listen"]; p.Value != "8080" || p.Example == "" {
		t.Errorf("bad address: %+v", p)
	}
	if p := byKey["telemetry.otlp"]; strings.Contains(p.String(), "hidden") || p.Source != FromEnv+" LOTABOTS_TELEMETRY_OTLP" {
		t.Errorf("bad URL: %v", p)
	}
	if len(problems) != 4 {
		t.Errorf("got %v", err)
	}
}
