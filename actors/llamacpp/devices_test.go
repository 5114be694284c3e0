package llamacpp

import (
	"slices"
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"
)

func TestNumbersOfGPUs(t *testing.T) {
	for text, want := range map[string][]int{"0": {0}, "0,1,2": {0, 1, 2}, "": nil, "gpu": nil, "-1": nil, "0,": nil, "1,1": nil} {
		got, err := gpuNumbers(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// A text is read in one step: without flash attention a text of 8192 tokens takes gigabytes.
func TestLongTextsHaveFlashAttention(t *testing.T) {
	if got := embedAttention(llama.FlashAttentionTypeDisabled, 8192); got == llama.FlashAttentionTypeDisabled {
		t.Error("a score for every two tokens")
	}
	if got := embedAttention(llama.FlashAttentionTypeDisabled, embedBatch); got != llama.FlashAttentionTypeDisabled {
		t.Error("short texts have what was measured to be faster on a CPU")
	}
}
