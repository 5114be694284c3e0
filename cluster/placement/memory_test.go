package placement

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

func TestEstimates(t *testing.T) {
	// As of Llama 3.1 8B in Q4_K_M: 32 layers, 8 heads of 128 for keys and values.
	llama := &wire.Model{Size: 4_920_000_000, Shape: &wire.ModelShape{Architecture: "llama", Quantisation: "Q4_K_M", Parameters: 8_030_000_000,
		WeightBytes: 4_600_000_000, HostBytes: 295_000_000, Layers: 32, TrainedContext: 131072, Embedding: 4096, Vocabulary: 128256, KvBytesPerToken: 131072}}
	window := &wire.Model{Shape: &wire.ModelShape{WeightBytes: 1 << 30, TrainedContext: 32768, KvBytesPerToken: 1000, WindowBytesPerToken: 5000, Window: 1024}}
	part := func(e Estimate, name string) uint64 {
		for _, p := range e.Parts {
			if p.Name == name {
				return p.Bytes
			}
		}
		return 0
	}
	for name, c := range map[string]struct {
		d    *wire.Deployment
		m    *wire.Model
		want map[string]uint64
	}{
		"as by default":           {&wire.Deployment{}, llama, map[string]uint64{PartWeights: 4_895_000_000, PartCache: 131072 * 4 * 8192, PartOverhead: engineOverhead}},
		"context and slots":       {&wire.Deployment{Context: 32768, Slots: 16}, llama, map[string]uint64{PartCache: 131072 * 16 * 32768}},
		"no more than trained on": {&wire.Deployment{Context: 1 << 20, Slots: 1}, llama, map[string]uint64{PartCache: 131072 * 131072}},
		"windows":                 {&wire.Deployment{Context: 32768, Slots: 2}, window, map[string]uint64{PartCache: 1000 * 65536, PartWindow: 5000 * (2*1024 + 2048)}},
		"context within a window": {&wire.Deployment{Context: 512, Slots: 1}, window, map[string]uint64{PartCache: 1000 * 512, PartWindow: 5000 * 512}},
		"recurrent": {&wire.Deployment{Slots: 8}, &wire.Model{Shape: &wire.ModelShape{WeightBytes: 100, StateBytes: 7}},
			map[string]uint64{PartState: 56, PartCache: 0}},
		"over four devices":  {&wire.Deployment{Gpus: 4}, llama, map[string]uint64{PartWeights: 1_335_000_000, PartCache: 131072*4*8192*9/33 + 1, PartOverhead: engineOverhead}},
		"over two, no shape": {&wire.Deployment{Gpus: 2}, &wire.Model{Size: 401}, map[string]uint64{PartFile: 201, PartBuffers: 100}},
		"vectors": {&wire.Deployment{Engine: "embedded", Context: 4096, Options: map[string]string{"embeddings": "on"}}, llama,
			map[string]uint64{PartVectors: 4096 * (131072 + 4*(128256+16*4096) + 2*4096)}},
		"vectors, perhaps":  {&wire.Deployment{Engine: "embedded", Context: 8192}, llama, map[string]uint64{PartVectors: 2048 * (131072 + 4*(128256+16*4096) + 2*2048)}},
		"no vectors":        {&wire.Deployment{Engine: "embedded", Options: map[string]string{"embeddings": "off"}}, llama, map[string]uint64{PartVectors: 0}},
		"no shape":          {&wire.Deployment{}, &wire.Model{Size: 400}, map[string]uint64{PartFile: 400, PartBuffers: 100, PartOverhead: engineOverhead}},
		"stated":            {&wire.Deployment{MemoryBytes: 5}, llama, map[string]uint64{PartStated: 5, PartWeights: 0}},
		"elsewhere":         {&wire.Deployment{Engine: "external", MemoryBytes: 5}, llama, map[string]uint64{PartStated: 0, PartWeights: 0, PartOverhead: 0}},
		"without any model": {&wire.Deployment{Engine: "ollama"}, nil, map[string]uint64{PartOverhead: 0}},
		"absurdly large":    {&wire.Deployment{Context: math.MaxUint32, Slots: math.MaxUint32}, &wire.Model{Shape: &wire.ModelShape{KvBytesPerToken: math.MaxFloat64}}, map[string]uint64{PartCache: math.MaxInt64}},
	} {
		t.Run(name, func(t *testing.T) {
			e := Estimated(c.d, c.m)
			sum := uint64(0)
			for _, p := range e.Parts {
				sum = plus(sum, p.Bytes)
				if p.Text == "" {
					t.Errorf("%s is not explained", p.Name)
				}
			}
			for name, bytes := range c.want {
				if got := part(e, name); got != bytes {
					t.Errorf("%s is %d, not %d", name, got, bytes)
				}
			}
			if e.Bytes() != sum || Memory(c.d, c.m) != sum {
				t.Errorf("%d bytes, parts have %d", e.Bytes(), sum)
			}
		})
	}
	if got := Memory(&wire.Deployment{}, llama); got < 9_000_000_000 || got > 11_000_000_000 {
		t.Errorf("%d bytes", got) // what llama.cpp takes with four slots of 8192, as its parts are reckoned there
	}
}

func TestAdaptersAreReckoned(t *testing.T) {
	var adapters []*wire.Model
	for i := range 10 {
		adapters = append(adapters, &wire.Model{Size: uint64(i + 1)})
	}
	for name, c := range map[string]struct {
		d    *wire.Deployment
		want uint64
	}{
		"eight":   {&wire.Deployment{Engine: "embedded"}, 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10},
		"as said": {&wire.Deployment{Engine: "vllm", Options: map[string]string{"max-loras": "2"}}, 19},
		"more":    {&wire.Deployment{Engine: "embedded", Options: map[string]string{"max-loras": "20"}}, 55},
		"all":     {&wire.Deployment{Engine: "llama-server"}, 55},
		"stated":  {&wire.Deployment{Engine: "embedded", MemoryBytes: 7}, 0},
	} {
		for _, m := range []*wire.Model{{Size: 400}, {Shape: &wire.ModelShape{WeightBytes: 400}}} {
			without, with := Memory(c.d, m), Memory(c.d, m, adapters...)
			if with-without != c.want {
				t.Errorf("%s: %d more with adapters, want %d", name, with-without, c.want)
			}
		}
	}
}

// More context, slots or weights never take less, and nothing wraps around.
func TestEstimatesGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.Uint64()
		rate := rapid.Float64Range(0, 1e9)
		s := &wire.ModelShape{WeightBytes: bytes.Draw(t, "weights"), HostBytes: bytes.Draw(t, "host"), Vocabulary: rapid.Uint32().Draw(t, "vocabulary"),
			Embedding: rapid.Uint32().Draw(t, "width"), TrainedContext: rapid.Uint32().Draw(t, "trained"), Layers: rapid.Uint32Range(0, 200).Draw(t, "layers"), KvBytesPerToken: rate.Draw(t, "cache"),
			WindowBytesPerToken: rate.Draw(t, "window's"), Window: rapid.Uint32().Draw(t, "window"), StateBytes: bytes.Draw(t, "state")}
		d := &wire.Deployment{Context: rapid.Uint32Range(1, math.MaxUint32-1).Draw(t, "context"), Slots: rapid.Uint32Range(1, math.MaxUint32-1).Draw(t, "slots")}
		m := &wire.Model{Shape: s}
		least := Memory(d, m)
		if least < min(s.WeightBytes, math.MaxInt64) {
			t.Fatalf("%d bytes for %d of weights", least, s.WeightBytes)
		}
		for _, more := range []*wire.Deployment{{Context: d.Context + 1, Slots: d.Slots}, {Context: d.Context, Slots: d.Slots + 1}} {
			if Memory(more, m) < least {
				t.Fatalf("%v takes less than %v", more, d)
			}
		}
		n := rapid.Uint32Range(2, 16).Draw(t, "devices")
		if part := Memory(&wire.Deployment{Context: d.Context, Slots: d.Slots, Gpus: n}, m); part > least || part < least/uint64(n) {
			t.Fatalf("each of %d devices takes %d, one alone %d", n, part, least)
		}
	})
}
