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

func TestRefusedForMemory(t *testing.T) {
	for body, want := range map[string]bool{
		`{"object":"error","message":"CUDA out of memory. Tried to allocate 1.17 GiB. GPU 0 has a total capacity of 79.15 GiB","code":500}`: true,
		`{"error":{"message":"Decode out of memory. Try to lower your batch size.","code":500}}`:                                            true,
		`{"error":"torch.OutOfMemoryError"}`:            true,
		`{"error":{"message":"KV cache exhausted"}}`:    true,
		`{"error":{"message":"std::bad_alloc"}}`:        true,
		`{"error":{"message":"Internal Server Error"}}`: false,
		`{"error":"the memory of the crew"}`:            false,
		"":                                              false,
	} {
		if RefusedForMemory([]byte(body)) != want {
			t.Errorf("%s: %v", body, !want)
		}
	}
}

func FuzzRefusedForMemory(f *testing.F) {
	f.Add([]byte(`{"message":"CUDA out of memory"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !RefusedForMemory(append(body[:len(body):len(body)], "\nCUDA OUT OF MEMORY"...)) {
			t.Errorf("%q hides what is said", body)
		}
		if len(body) < 10 && RefusedForMemory(body) {
			t.Errorf("%q is taken for a want of memory", body)
		}
	})
}
