package llamacpp

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A gguf is a model's file in the making, for architectures that the shipped model is not of.
type gguf struct {
	keys    bytes.Buffer
	count   uint64
	tensors []tensor
}

type tensor struct {
	name  string
	shape []int
	data  []float32
}

func put(b *bytes.Buffer, v any) {
	if s, ok := v.(string); ok {
		put(b, uint64(len(s)))
		b.WriteString(s)
		return
	}
	_ = binary.Write(b, binary.LittleEndian, v) // a buffer takes everything
}

func (g *gguf) set(key string, v any) {
	g.count++
	put(&g.keys, key)
	switch v := v.(type) {
	case uint32:
		put(&g.keys, uint32(4))
		put(&g.keys, v)
	case float32:
		put(&g.keys, uint32(6))
		put(&g.keys, v)
	case bool:
		put(&g.keys, uint32(7))
		put(&g.keys, v)
	case string:
		put(&g.keys, uint32(8))
		put(&g.keys, v)
	case []string:
		put(&g.keys, uint32(9))
		put(&g.keys, uint32(8))
		put(&g.keys, uint64(len(v)))
		for _, s := range v {
			put(&g.keys, s)
		}
	case []int32:
		put(&g.keys, uint32(9))
		put(&g.keys, uint32(5))
		put(&g.keys, uint64(len(v)))
		put(&g.keys, v)
	}
}

// random adds a tensor; shape has the fastest dimension first.
func (g *gguf) random(r *rand.Rand, name string, shape ...int) {
	n := 1
	for _, s := range shape {
		n *= s
	}
	data := make([]float32, n)
	for i := range data {
		if data[i] = float32(r.NormFloat64() * 0.5); strings.Contains(name, "norm.weight") {
			data[i] = 1
		}
	}
	g.tensors = append(g.tensors, tensor{name, shape, data})
}

func (g *gguf) write(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(3))
	put(&b, uint64(len(g.tensors)))
	put(&b, g.count)
	b.Write(g.keys.Bytes())
	offset := uint64(0)
	for _, x := range g.tensors {
		put(&b, x.name)
		put(&b, uint32(len(x.shape)))
		for _, s := range x.shape {
			put(&b, uint64(s))
		}
		put(&b, uint32(0)) // F32
		put(&b, offset)
		offset += uint64(4*len(x.data)+31) / 32 * 32
	}
	align := func() { b.Write(make([]byte, (32-b.Len()%32)%32)) }
	align()
	for _, x := range g.tensors {
		for _, f := range x.data {
			put(&b, math.Float32bits(f))
		}
		align()
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bert is a tiny encoder of random weights, with the classifier of a reranker or without.
func bert(t *testing.T, ranks bool) string {
	t.Helper()
	const width, inner, contextSize = 32, 64, 128
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'z'; c++ {
		words = append(words, "\u2581"+string(c), string(c))
	}
	types := slices.Repeat([]int32{1}, len(words))
	for i := range 5 {
		types[i] = 3
	}
	g := &gguf{}
	for key, v := range map[string]any{
		"general.architecture": "bert", "bert.context_length": uint32(contextSize), "bert.embedding_length": uint32(width), "bert.block_count": uint32(1),
		"bert.feed_forward_length": uint32(inner), "bert.attention.head_count": uint32(2), "bert.attention.layer_norm_epsilon": float32(1e-6),
		"bert.attention.causal": false, "tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "jina-v2-en", "tokenizer.ggml.tokens": words,
		"tokenizer.ggml.token_type": types, "tokenizer.ggml.token_type_count": uint32(2), "tokenizer.ggml.bos_token_id": uint32(2),
		"tokenizer.ggml.cls_token_id": uint32(2), "tokenizer.ggml.seperator_token_id": uint32(3), "tokenizer.ggml.unknown_token_id": uint32(1),
		"tokenizer.ggml.padding_token_id": uint32(0), "tokenizer.ggml.mask_token_id": uint32(4),
	} {
		g.set(key, v)
	}
	r := rand.New(rand.NewPCG(1, 2))
	g.random(r, "token_embd.weight", width, len(words))
	g.random(r, "token_types.weight", width, 2)
	g.random(r, "position_embd.weight", width, contextSize)
	for _, n := range []string{"token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"} {
		g.random(r, n+".weight", width)
		g.random(r, n+".bias", width)
	}
	for _, n := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
		g.random(r, "blk.0."+n+".weight", width, width)
		g.random(r, "blk.0."+n+".bias", width)
	}
	g.random(r, "blk.0.ffn_up.weight", width, inner)
	g.random(r, "blk.0.ffn_down.weight", inner, width)
	g.set("bert.pooling_type", uint32(2))
	if ranks {
		g = g.ranking(r, width)
	}
	return g.write(t)
}

// ranking adds what a reranker has: its pooling type stands over the one before.
func (g *gguf) ranking(r *rand.Rand, width int) *gguf {
	old := g.keys.Bytes()
	at := bytes.Index(old, []byte("bert.pooling_type")) + len("bert.pooling_type") + 4
	binary.LittleEndian.PutUint32(old[at:], 4)
	g.random(r, "cls.weight", width, width)
	g.random(r, "cls.bias", width)
	g.random(r, "cls.output.weight", width, 1)
	g.random(r, "cls.output.bias", 1)
	return g
}
