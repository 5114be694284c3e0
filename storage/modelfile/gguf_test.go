package modelfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/wire"
)

func TestReadTheShippedModel(t *testing.T) {
	path := filepath.Join("..", "..", "node", "demo", "lota-tiny.gguf")
	s, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// 5 layers, 2 heads of 32 for keys and for values, 2 bytes each
	if s.Architecture != "llama" || s.Layers != 5 || s.KvBytesPerToken != 5*2*2*32*2 || s.TrainedContext != 1024 || s.Vocabulary != 768 ||
		s.Quantisation != "F16" || s.WindowBytesPerToken != 0 || s.StateBytes != 0 || s.Rerank || s.Embeddings {
		t.Errorf("%v", s)
	}
	if all := s.WeightBytes + s.HostBytes; all < uint64(info.Size())*9/10 || all > uint64(info.Size())*13/10 {
		t.Errorf("%d and %d bytes of weights in a file of %d", s.WeightBytes, s.HostBytes, info.Size())
	}
}

func TestReadGGUF(t *testing.T) {
	const layer = 2 * 2 * (16 + 16) // bytes of a token in a layer: heads, width, 16 bits
	for name, c := range map[string]struct {
		g    gguf
		want func(*wire.ModelShape) bool
	}{
		"grouped queries": {model("llama", "tokenizer.chat_template", "{{ messages }}"), func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 4*layer && s.WindowBytesPerToken == 0 && s.Chat && !s.Embeddings && s.TrainedContext == 4096 && s.Embedding == 64
		}},
		"a window in three layers of four": {model("cohere2", ".attention.sliding_window", uint32(512)), func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 1*layer && s.WindowBytesPerToken == 3*layer && s.Window == 512 && !s.Chat
		}},
		"recurrent": {model("mamba", "attention.head_count", uint32(0), "attention.head_count_kv", uint32(0), ".ssm.conv_kernel", uint32(4), ".ssm.inner_size", uint32(128),
			".ssm.state_size", uint32(16), ".ssm.time_step_rank", uint32(4)), func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 0 && s.StateBytes == 4*4*(3*128+16*128)
		}},
		"embeddings": {model("bert", ".pooling_type", uint32(1), ".attention.causal", false), func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 0 && s.Embeddings && !s.Rerank
		}},
		"rerank": {model("bert", ".pooling_type", uint32(4), ".attention.causal", false), func(s *wire.ModelShape) bool { return s.Rerank && !s.Embeddings }},
		"heads by layer": {model("lfm2", "attention.head_count_kv", []uint32{0, 2, 0, 2}, ".shortconv.l_cache", uint32(3)), func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 2*layer && s.StateBytes > 0
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(write(t, "m.gguf", c.g.bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !c.want(s) || s.Layers != 4 || s.WeightBytes == 0 || s.Parameters == 0 {
				t.Errorf("%v", s)
			}
		})
	}
}

// What would have the library recurse, allocate or count without end is refused
// before it sees it, at once.
func TestHostileHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"arrays in arrays":             {model("llama", ".x.feed_forward_length", nested(2)).bytes(), "array of type 9"},
		"very deep":                    {model("llama", ".x.feed_forward_length", nested(1<<20)).bytes(), "array of type 9"},
		"more layers than any model":   {model("llama", "block_count", uint32(1<<31)).bytes(), "llama.block_count"},
		"layers as a fraction":         {model("llama", "block_count", 1e300).bytes(), "llama.block_count"},
		"tensors of splits":            {model("llama", "split.tensors.count", uint32(1<<31)).bytes(), "split.tensors.count"},
		"more items than any model":    {model("llama", "attention.head_count_kv", make([]uint32, 1<<17)).bytes(), "items"},
		"a long key":                   {gguf{entries: []any{strings.Repeat("k", 5000), true}}.bytes(), "5000 bytes"},
		"cut in the metadata":          {model("llama").bytes()[:200], "larger than the file"},
		"no GGUF":                      {[]byte("GGML, or what else is here"), "no GGUF"},
		"nothing":                      {nil, "larger than the file"},
		"tensors of overflowing sizes": {gguf{entries: model("llama").entries, tensors: []tensor{{"x", nil}}}.bytes(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := Read(write(t, "m.gguf", c.raw))
			if c.want != "" && (!errors.Is(err, ErrNotUnderstood) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v; want one with %q", err, c.want)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(model("llama").bytes())
	f.Add(model("cohere2", ".attention.sliding_window", uint32(512), "block_count", uint32(7)).bytes())
	f.Add(model("mamba", ".ssm.conv_kernel", uint32(4), ".ssm.inner_size", uint32(128)).bytes())
	f.Add(model("clip", "general.type", "projector").bytes())
	f.Add(model("llama", ".x", nested(2)).bytes())
	path := filepath.Join(f.TempDir(), "m.gguf")
	f.Fuzz(func(t *testing.T, raw []byte) {
		said, err := scan(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readGGUF(path, said)
		if err != nil {
			if !errors.Is(err, ErrNotUnderstood) {
				t.Fatal(err)
			}
			return
		}
		if !(s.KvBytesPerToken >= 0 && s.WindowBytesPerToken >= 0) || len(s.Architecture) > 64 || len(s.Quantisation) > 64 || !utf8.ValidString(s.Architecture+s.Quantisation) {
			t.Fatalf("%v", s)
		}
	})
}
