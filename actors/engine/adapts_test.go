package engine

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestSlotsAdaptWhereTheyAreABound(t *testing.T) {
	for _, c := range []struct {
		preset, option string
		want           bool
	}{
		{VLLM, "", true}, {SGLang, "", true}, {External, "", true}, {External, "off", false},
		{Embedded, "", false}, {Ollama, "", false}, {LlamaServer, "", false}, {Triton, "", false}, {"one-of-ours", "", false},
		{Ollama, "on", true},
	} {
		options := map[string]string{}
		if c.option != "" {
			options[spec.AdaptiveSlots] = c.option
		}
		if got := Adapts(c.preset, options); got != c.want {
			t.Errorf("%s, %q: %v", c.preset, c.option, got)
		}
	}
}

func TestRanOut(t *testing.T) {
	for text, want := range map[string]bool{
		"exit status 1: the device has too little free memory (x)":                 true,
		"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.": true,
		"signal: killed":             false,
		"the engine ended by itself": false,
	} {
		if RanOut(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
