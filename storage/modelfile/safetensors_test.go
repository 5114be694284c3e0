package modelfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

// safe is a safetensors file with that header and so many bytes of data.
func safe(header string, data int) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, data)...)
}

const twoTensors = `{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[8,16],"data_offsets":[0,256]},"b":{"dtype":"F32","shape":[4],"data_offsets":[256,272]}}`

func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadFolder(t *testing.T) {
	const small = `"hidden_size":1024,"num_hidden_layers":4,"num_attention_heads":16,"num_key_value_heads":4,"vocab_size":1000,"max_position_embeddings":8192`
	const layer = 2 * 2 * 4 * 64
	for name, c := range map[string]struct {
		config string
		want   func(*wire.ModelShape) bool
	}{
		"grouped queries": {`{"model_type":"llama","architectures":["LlamaForCausalLM"],` + small + `}`, func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 4*layer && s.Quantisation == "BF16" && s.TrainedContext == 8192 && s.Vocabulary == 1000 && !s.Embeddings && s.Embedding == 1024
		}},
		"heads of their own width": {`{"model_type":"qwen3",` + small + `,"head_dim":128}`, func(s *wire.ModelShape) bool { return s.KvBytesPerToken == 8*layer }},
		"one latent for all heads": {`{"model_type":"deepseek_v3",` + small + `,"kv_lora_rank":512,"qk_rope_head_dim":64}`, func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 4*2*576
		}},
		"windows by layer": {`{"model_type":"gemma3_text",` + small + `,"sliding_window":512,"layer_types":["sliding_attention","sliding_attention","sliding_attention","full_attention"]}`, func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == layer && s.WindowBytesPerToken == 3*layer && s.Window == 512
		}},
		"windows by pattern": {`{"text_config":{"model_type":"gemma3_text",` + small + `,"sliding_window":512,"sliding_window_pattern":2}, "model_type":"gemma3"}`, func(s *wire.ModelShape) bool {
			return s.KvBytesPerToken == 2*layer && s.WindowBytesPerToken == 2*layer && s.Architecture == "gemma3"
		}},
		"windows not used":       {`{"model_type":"qwen2",` + small + `,"sliding_window":512,"use_sliding_window":false}`, func(s *wire.ModelShape) bool { return s.KvBytesPerToken == 4*layer && s.Window == 0 }},
		"layers without a cache": {`{"model_type":"qwen3_next",` + small + `,"layer_types":["linear_attention","linear_attention","linear_attention","full_attention"]}`, func(s *wire.ModelShape) bool { return s.KvBytesPerToken == layer }},
		"quantised":              {`{"model_type":"llama",` + small + `,"quantization_config":{"quant_method":"awq","bits":4}}`, func(s *wire.ModelShape) bool { return s.Quantisation == "awq 4-bit" }},
		"embeddings":             {`{"model_type":"bert","architectures":["BertModel"],` + small + `}`, func(s *wire.ModelShape) bool { return s.Embeddings }},
		"rerank":                 {`{"model_type":"xlm-roberta","architectures":["XLMRobertaForSequenceClassification"],` + small + `}`, func(s *wire.ModelShape) bool { return s.Rerank && !s.Embeddings }},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(folder(t, map[string]string{"model-00001-of-00002.safetensors": string(safe(twoTensors, 272)), "model-00002-of-00002.safetensors": string(safe(`{}`, 0)),
				"config.json": c.config, "tokenizer_config.json": `{"chat_template":"{{ messages }}"}`}))
			if err != nil {
				t.Fatal(err)
			}
			if !c.want(s) || s.WeightBytes != 272 || s.Parameters != 132 || !s.Chat {
				t.Errorf("%v", s)
			}
		})
	}
}

func TestFoldersThatAreRefused(t *testing.T) {
	good, config := string(safe(twoTensors, 272)), `{"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":1}`
	for want, files := range map[string]map[string]string{
		"pickled weights":     {"pytorch_model.bin": "\x80\x02", "config.json": config},
		"config.json":         {"m.safetensors": good},
		"0 layers":            {"m.safetensors": good, "config.json": `{}`},
		"header of":           {"m.safetensors": string(binary.LittleEndian.AppendUint64(nil, math.MaxUint64)), "config.json": config},
		"cut short":           {"m.safetensors": "abc", "config.json": config},
		"no JSON":             {"m.safetensors": string(safe(`[`, 0)), "config.json": config},
		"outside of the file": {"m.safetensors": string(safe(twoTensors, 271)), "config.json": config},
		"elements in 0 bytes": {"m.safetensors": string(safe(`{"a":{"dtype":"F16","shape":[4096],"data_offsets":[0,0]}}`, 0)), "config.json": config},
		"is too large":        {"m.safetensors": string(safe(`{"a":{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0)), "config.json": config},
		"with 70000 heads":    {"m.safetensors": good, "config.json": `{"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":70000}`},
		"it has more than":    {"m.safetensors": good, "config.json": strings.Repeat(" ", maxConfig+1)},
	} {
		if _, err := Read(folder(t, files)); !errors.Is(err, ErrNotUnderstood) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want one with %q", err, want)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(safe(twoTensors, 272), []byte(`{"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":1,"layer_types":["full_attention"]}`))
	f.Add(safe(`{"a":{"dtype":"F4","shape":[],"data_offsets":[0,0]}}`, 0), []byte(`{"text_config":{"num_hidden_layers":1}}`))
	f.Fuzz(func(t *testing.T, file, config []byte) {
		var sum tensors
		if err := sum.header(bytes.NewReader(file), int64(len(file))); err == nil && sum.bytes > 0 && sum.dominant() == "" && len(sum.kinds) > 1 {
			t.Fatalf("%+v", sum)
		}
		if s, err := fromConfig(config); err == nil && !(s.KvBytesPerToken >= 0 && s.WindowBytesPerToken >= 0 && !math.IsInf(s.KvBytesPerToken, 0)) {
			t.Fatalf("%v", s)
		}
	})
}
