package engine

import (
	"strings"
	"testing"
)

func TestPartOfALoad(t *testing.T) {
	for log, want := range map[string]float64{
		"INFO loading\n": -1,
		"Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]\n\rLoading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03]\n": .25,
		"Loading pt checkpoint shards: 100% Completed | 2/2\nINFO ready in 3 s\n":                                                                                     1,
		"load_tensors: CPU buffer\n" + strings.Repeat(".", 37):                                                                                                        .37,
		"load_tensors: CPU buffer\n" + strings.Repeat(".", 100) + "\nmain: model loaded\n":                                                                            1,
		"done. 50% Completed\n...\n": .03,
		"Loading: 900% Completed":    -1,
		strings.Repeat(".", 500):     -1,
	} {
		part, told := partOf(log)
		if !told {
			part = -1
		}
		if part != want {
			t.Errorf("%.60q: %g, want %g", log, part, want)
		}
	}
}

func FuzzPartOf(f *testing.F) {
	f.Add("Loading safetensors checkpoint shards:  25% Completed | 1/4\r....\n")
	f.Fuzz(func(t *testing.T, log string) {
		if part, _ := partOf(log); part < 0 || part > 1 {
			t.Errorf("%g", part)
		}
	})
}
