package modelfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A gguf is one in the making.
type gguf struct {
	entries []any // key, value, ...
	tensors []tensor
}

type tensor struct {
	name string
	dims []uint64
}

func putText(b *bytes.Buffer, s string) {
	put(b, uint64(len(s)))
	b.WriteString(s)
}

func put(b *bytes.Buffer, v any) {
	if err := binary.Write(b, binary.LittleEndian, v); err != nil {
		panic(err)
	}
}

func putValue(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case uint32:
		put(b, uint32(4))
		put(b, v)
	case float64:
		put(b, uint32(12))
		put(b, v)
	case bool:
		put(b, uint32(7))
		put(b, v)
	case string:
		put(b, uint32(typeString))
		putText(b, v)
	case []string:
		put(b, uint32(typeArray))
		put(b, uint32(typeString))
		put(b, uint64(len(v)))
		for _, s := range v {
			putText(b, s)
		}
	case []uint32:
		put(b, uint32(typeArray))
		put(b, uint32(4))
		put(b, uint64(len(v)))
		put(b, v)
	case nested:
		put(b, uint32(typeArray))
		for range int(v) - 1 {
			put(b, uint32(typeArray))
			put(b, uint64(1))
		}
		put(b, uint32(4))
		put(b, uint64(0))
	default:
		panic(fmt.Sprintf("%T", v))
	}
}

// nested is an array in an array, so deep.
type nested int

// bytes is the file; its tensors are of 16-bit numbers, all zero.
func (g gguf) bytes() []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(3))
	put(&b, uint64(len(g.tensors)))
	put(&b, uint64(len(g.entries)/2))
	for i := 0; i < len(g.entries); i += 2 {
		putText(&b, g.entries[i].(string))
		putValue(&b, g.entries[i+1])
	}
	offset := uint64(0)
	for _, t := range g.tensors {
		putText(&b, t.name)
		put(&b, uint32(len(t.dims)))
		size := uint64(2)
		for _, n := range t.dims {
			put(&b, n)
			size *= n
		}
		put(&b, uint32(1))
		put(&b, offset)
		offset += (size + 31) / 32 * 32
	}
	b.Write(make([]byte, (32-b.Len()%32)%32+int(offset)))
	return b.Bytes()
}

// model is a small one of that architecture, 4 layers of width 64 with 8 heads, 2
// of them for keys and values, each 16 wide; more changes or adds entries.
func model(arch string, more ...any) gguf {
	g := gguf{entries: []any{"general.architecture", arch, "general.type", "model", "general.file_type", uint32(1),
		"tokenizer.ggml.model", "gpt2", "tokenizer.ggml.tokens", []string{"a", "b", "c", "d"}}}
	for key, n := range map[string]uint32{"block_count": 4, "context_length": 4096, "embedding_length": 64, "feed_forward_length": 128,
		"attention.head_count": 8, "attention.head_count_kv": 2, "attention.key_length": 16, "attention.value_length": 16, "vocab_size": 4} {
		value := any(n)
		for i := 0; i < len(more); i += 2 {
			if more[i] == key {
				value, more = more[i+1], append(append([]any{}, more[:i]...), more[i+2:]...)
				break
			}
		}
		g.entries = append(g.entries, arch+"."+key, value)
	}
	for i := 0; i < len(more); i += 2 {
		key := more[i].(string)
		if key[0] == '.' {
			key = arch + key
		}
		g.entries = append(g.entries, key, more[i+1])
	}
	g.tensors = []tensor{{"token_embd.weight", []uint64{64, 4}}, {"output.weight", []uint64{64, 4}}}
	for i := range 4 {
		for name, dims := range map[string][]uint64{"attn_q": {64, 128}, "attn_k": {64, 32}, "attn_v": {64, 32}, "attn_output": {128, 64},
			"ffn_gate": {64, 128}, "ffn_up": {64, 128}, "ffn_down": {128, 64}} {
			g.tensors = append(g.tensors, tensor{fmt.Sprintf("blk.%d.%s.weight", i, name), dims})
		}
	}
	return g
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
