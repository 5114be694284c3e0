package blobs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestWhatIsNoGGUFIsNamed(t *testing.T) {
	safetensors := append(binary.LittleEndian.AppendUint64(nil, 5000), `{"__metadata__":{}}`...)
	bigEndian := append([]byte("GGUF"), binary.BigEndian.AppendUint32(nil, 3)...)
	for want, content := range map[string][]byte{
		"is empty":              {},
		"in the middle of":      head(3, 10, 10)[:20],
		"version 1":             append(head(1, 1, 1), make([]byte, 100)...),
		"version 77":            append(head(77, 1, 1), make([]byte, 100)...),
		"version 0":             append(head(0, 1, 1), make([]byte, 100)...),
		"big-endian":            append(bigEndian, make([]byte, 100)...),
		"no tensors":            append(head(3, 0, 5), make([]byte, 100)...),
		"too few for the 1000":  append(head(3, 1000, 5), make([]byte, 100)...),
		"too few for the 184":   append(head(3, 1<<64-1, 1<<64-1), make([]byte, 100)...),
		"Git LFS":               []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
		"web page":              []byte("\n<!DOCTYPE html><html>"),
		"JSON":                  []byte(`{"error":"not found"}`),
		"safetensors":           safetensors,
		"zip archive":           []byte("PK\x03\x04archive/data.pkl"),
		"pickle":                []byte("\x80\x02\x8a\nl\xfc"),
		"gzip":                  []byte("\x1f\x8b\x08\x00"),
		"of before GGUF":        []byte("tjgg\x03\x00\x00\x00"),
		`begins with "hello, w`: []byte("hello, world, how are you today?"),
	} {
		_, err := open(t, t.TempDir()).Import("x", bytes.NewReader(content))
		var e *spec.Error
		if !errors.As(err, &e) || e.Code != spec.CodeInvalidRequest || e.Param != "file" || e.Hint == "" || !strings.Contains(e.Message, want) {
			t.Errorf("want a message with %q, got %v", want, err)
		}
	}
}

func FuzzCheckHeader(f *testing.F) {
	f.Add(head(3, 10, 5), uint64(10000))
	f.Add(head(2, 1<<63, 1<<63), uint64(1<<63))
	f.Add([]byte("GGUF"), uint64(4))
	f.Add([]byte{}, uint64(0))
	f.Add([]byte("12345678{"), uint64(9))
	f.Fuzz(func(t *testing.T, raw []byte, size uint64) {
		h, err := checkHeader(raw)
		if err != nil {
			if spec.CodeOf(err) != spec.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		if !bytes.HasPrefix(raw, head(h.Version, h.Tensors, h.Entries)) || h.Version < 2 || h.Version > 3 || h.Tensors == 0 {
			t.Fatalf("%x became %+v", raw, h)
		}
		if h.checkSize(size) == nil && (h.Tensors > size/leastTensor || h.Entries > size/leastEntry) {
			t.Fatalf("%+v fits into %d bytes", h, size)
		}
	})
}
