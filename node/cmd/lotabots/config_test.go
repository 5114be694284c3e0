package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configFile writes a node's file; its data directory is not read.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigCheck(t *testing.T) {
	good := configFile(t, "node:\n  id: n1\n")
	if out, err := run(t, "config", "check", "--file", good, "--region", "north"); err != nil || !strings.Contains(out, "no problems") {
		t.Errorf("%s, %v", out, err)
	}
	bad := configFile(t, "node:\n  id: n1\n  regoin: x\nlog:\n  level: loud\napi:\n  max-body: many\n")
	_, err := run(t, "config", "check", "--file", bad, "--devices-kind", "abacus")
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"4 problem(s)", `did you mean "node.region"?`, `log.level = "loud"`, `api.max-body = "many"`, "flag --devices-kind", "for example"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from:\n%v", want, err)
		}
	}
	out, err := run(t, "config", "check", "--file", bad, "-o", "json")
	var report struct {
		OK       bool
		Problems []struct{ Key, Nearest, Reason, Example string }
	}
	if unmarshal := json.Unmarshal([]byte(out), &report); unmarshal != nil || err == nil || report.OK || len(report.Problems) != 3 || report.Problems[0].Nearest != "node.region" {
		t.Errorf("%s, %v, %v", out, err, unmarshal)
	}
	t.Setenv("LOTABOTS_LOG_LEVELL", "warn")
	if _, err := run(t, "config", "check", "--file", good); err == nil || !strings.Contains(err.Error(), `no variable LOTABOTS_LOG_LEVELL; did you mean "LOTABOTS_LOG_LEVEL"?`) {
		t.Errorf("an unknown variable: %v", err)
	}
	out, err = run(t, "config", "check", "--file", configFile(t, "node: [\n"), "-o", "json")
	if err == nil || !json.Valid([]byte(out)) || !strings.Contains(out, "yaml") {
		t.Errorf("a file that is no YAML: %s, %v", out, err)
	}
}

func TestConfigShowAndSchema(t *testing.T) {
	t.Setenv("LOTABOTS_LOG_LEVEL", "debug")
	file := configFile(t, "node:\n  id: n1\n  zone: z\ntelemetry:\n  otlp: http://me:hidden@127.0.0.1:4318\n")
	out, err := run(t, "config", "show", "--file", file, "--region", "north", "-o", "json")
	var values []struct {
		Key, Source string
		Value       any
	}
	if unmarshal := json.Unmarshal([]byte(out), &values); err != nil || unmarshal != nil {
		t.Fatalf("%s, %v, %v", out, err, unmarshal)
	}
	got := map[string]string{}
	for _, v := range values {
		got[v.Key] = v.Source
	}
	for key, want := range map[string]string{"node.zone": "file " + file, "node.region": "flag --region", "log.level": "environment LOTABOTS_LOG_LEVEL", "api.listen": "default"} {
		if got[key] != want {
			t.Errorf("%s is from %q, want %q", key, got[key], want)
		}
	}
	if strings.Contains(out, "hidden") {
		t.Error("a password is shown")
	}
	out, err = run(t, "config", "schema")
	if err != nil || !strings.Contains(out, "placement.dead-grace") || !strings.Contains(out, "33554432") {
		t.Errorf("%s, %v", out, err)
	}
	out, err = run(t, "config", "schema", "-o", "json")
	var keys []struct{ Key, Type, Help, Example string }
	if unmarshal := json.Unmarshal([]byte(out), &keys); err != nil || unmarshal != nil || len(keys) != len(values) {
		t.Fatalf("%s, %v, %v", out, err, unmarshal)
	}
	for _, k := range keys {
		if k.Type == "" || k.Help == "" || k.Example == "" {
			t.Errorf("%+v", k)
		}
	}
}
