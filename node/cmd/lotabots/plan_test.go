package main

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/lotabots/lotabots/node/demo"
)

func TestPlanOfAFile(t *testing.T) {
	path := filepath.Join("..", "..", "demo", "lota-tiny.gguf")
	q, err := planOf(deploymentRow{Model: path, Engine: "embedded"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := q.Deployment.(deploymentRow); q.Name != demo.ModelName || d.Model != demo.ModelName || q.File == nil || q.File.Shape.Layers != 5 || q.File.Shape.KVPerToken != 1280 {
		t.Errorf("%+v %+v", q, d)
	}
	q, err = planOf(deploymentRow{Model: "imported"}, "chat")
	if err != nil || q.File != nil || q.Name != "chat" || q.Deployment.(deploymentRow).Model != "imported" {
		t.Errorf("%+v %v", q, err)
	}
	if _, err := planOf(deploymentRow{Model: "plan_test.go/"}, ""); err != nil { // no file: the cluster says whether it has it
		t.Error(err)
	}
	if _, err := planOf(deploymentRow{Model: "./plan_test.go"}, ""); err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("a file that is no model: %v", err)
	}
}

// TestPairsAreWhole: a value may have commas, and further equals signs.
func TestPairsAreWhole(t *testing.T) {
	w, f := wish{}, pflag.NewFlagSet("t", pflag.ContinueOnError)
	w.flags(f)
	if err := f.Parse([]string{"--option", "k=a,b=c", "--option", "url=http://h/?x=1", "--adapter", "legal=legal-lora"}); err != nil {
		t.Fatal(err)
	}
	if d := w.deployment(); !maps.Equal(d.Options, map[string]string{"k": "a,b=c", "url": "http://h/?x=1"}) || d.Adapters["legal"] != "legal-lora" {
		t.Errorf("%v, %v", d.Options, d.Adapters)
	}
	for _, wrong := range []string{"k", "=v", ""} {
		if err := f.Parse([]string{"--option", wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for want, d := range map[string]planDevice{
		"gets 2":         {Copies: 2},
		"would take one": {},
		"no: it is full": {Refusal: "it is full"},
		"gets 1; 4.0 GiB have to be unloaded first, and as of 00:00:01 UTC that would be a with 8.0 GiB (0 requests), b with 2.0 GiB (3 requests)": {Copies: 1, Lacking: 4 << 30,
			FactsMS: 1000, Evict: []planLeft{{Deployment: "a", Bytes: 8 << 30}, {Deployment: "b", Bytes: 2 << 30, Running: 3}}},
	} {
		if got := d.verdict(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
