package blobs

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// archive is a tar of the files, in the order of names or in that of order.
func archive(t testing.TB, files map[string]string, order ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if len(order) == 0 {
		order = slices.Sorted(maps.Keys(files))
	}
	for _, name := range order {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(files[name])), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func folder() map[string]string {
	weights := make([]byte, 9<<20+77)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(weights)
	return map[string]string{"config.json": `{"model_type":"llama"}`, "model-00001-of-00002.safetensors": string(weights[:5<<20]),
		"model-00002-of-00002.safetensors": string(weights[5<<20:]), "tokenizer.json": "{}", "empty.txt": "", "1_Pooling/config.json": "{}"}
}

// printedDigest is what `sha256sum FILE... | sha256sum` prints, with the files in order.
func printedDigest(files map[string]string) string {
	list := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(list, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	return hex.EncodeToString(list.Sum(nil))
}

func TestAFolderIsImportedAndFetched(t *testing.T) {
	files, from, to := folder(), open(t, t.TempDir()), open(t, t.TempDir())
	m, err := from.ImportFolder("x", bytes.NewReader(archive(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Format != "safetensors" || hex.EncodeToString(m.Digest) != printedDigest(files) || len(m.Parts) != len(files) {
		t.Errorf("record %s %x", m.Format, m.Digest)
	}
	shuffled, err := to.ImportFolder("y", bytes.NewReader(archive(t, prefixed(files, "some-model/"), "some-model/tokenizer.json",
		"some-model/model-00002-of-00002.safetensors", "some-model/empty.txt", "some-model/config.json", "some-model/1_Pooling/config.json", "some-model/model-00001-of-00002.safetensors")))
	if err != nil || !bytes.Equal(shuffled.Digest, m.Digest) || !slices.EqualFunc(shuffled.Chunks, m.Chunks, bytes.Equal) {
		t.Errorf("the same files in another order are another model: %v", err)
	}
	to = open(t, t.TempDir())
	w := writer(t, to, m)
	for i := range m.Chunks {
		err := from.LendChunk(m, i, i%2 == 0, func(b []byte) {
			if err := w.PutChunk(i, b); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	path, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := to.Path(m.Digest); !ok || got != path || got != to.folder(m.Digest) {
		t.Errorf("path %s, %s", path, got)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(path, name)); err != nil || string(got) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	reopened := open(t, to.dir)
	if got, err := reopened.Verified(t.Context(), m.Digest, m); err != nil || got != path {
		t.Errorf("verified: %s, %v", got, err)
	}
	if err := os.Truncate(filepath.Join(path, "tokenizer.json"), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, to.dir).Verified(t.Context(), m.Digest, m); spec.CodeOf(err) != spec.CodeModelDamaged || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("damaged: %v", err)
	}
	if to.Has(m.Digest) {
		t.Error("the damaged model is still offered")
	}
}

func prefixed(files map[string]string, with string) map[string]string {
	out := map[string]string{}
	for name, content := range files {
		out[with+name] = content
	}
	return out
}

func TestShardsAreOneModel(t *testing.T) {
	s := open(t, t.TempDir())
	files := map[string]string{"m-00001-of-00002.gguf": string(model(1, 3000)), "m-00002-of-00002.gguf": string(model(2, 2000))}
	m, err := s.ImportFolder("x", bytes.NewReader(archive(t, files)))
	if err != nil || m.Format != "gguf-split" {
		t.Fatal(m, err)
	}
	if path, ok := s.Path(m.Digest); !ok || filepath.Base(path) != "m-00001-of-00002.gguf" {
		t.Errorf("engines are given %s", path)
	}
}

func TestFoldersThatAreRefused(t *testing.T) {
	with := func(name, content string) map[string]string {
		files := map[string]string{"config.json": "{}", "a.safetensors": "x"}
		files[name] = content
		return files
	}
	for want, raw := range map[string][]byte{
		"pickled":          archive(t, with("pytorch_model.bin", "x")),
		"cannot be called": archive(t, with("../../etc/passwd", "x")),
		"be called":        archive(t, with(".git/config", "x")),
		"no safetensors":   archive(t, map[string]string{"config.json": "{}"}),
		"no config.json":   archive(t, map[string]string{"a.safetensors": "x"}),
		"no GGUF: it":      archive(t, map[string]string{"a.gguf": "<html>"}),
		"no tar":           bytes.Repeat([]byte("nothing of the kind "), 100),
		"unexpected EOF":   archive(t, folder())[:6<<20],
	} {
		dir := t.TempDir()
		s := open(t, dir)
		if _, err := s.ImportFolder("x", bytes.NewReader(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if got := walked(t, dir); len(got) != 0 {
			t.Errorf("%s: left %v", want, got)
		}
	}
}

func walked(t *testing.T, dir string) []string { return files(t, dir) }

// TestExtents holds reading by chunks against the plain content, whatever the sizes.
func TestExtents(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 40), 1, 8).Draw(r, "sizes")
		dir, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // one for each check of rapid
		if err != nil {
			r.Fatal(err)
		}
		var whole []byte
		m := &wire.Model{}
		for i, n := range sizes {
			part := bytes.Repeat([]byte{byte('a' + i)}, n)
			sum := sha256.Sum256(part)
			m.Parts = append(m.Parts, &wire.ModelPart{Path: fmt.Sprintf("d%d/f%d", i%2, i), Size: uint64(n), Digest: sum[:]})
			whole = append(whole, part...)
		}
		c := content{dir, layout(m)}
		if err := c.make(); err != nil {
			r.Fatal(err)
		}
		chunk := rapid.IntRange(1, 60).Draw(r, "chunk")
		s := newSums(c.at)
		for at := 0; at < len(whole); at += chunk {
			b := whole[at:min(at+chunk, len(whole))]
			if err := c.write(b, int64(at)); err != nil {
				r.Fatal(err)
			}
			got := make([]byte, len(b))
			if err := c.read(got, int64(at)); err != nil || !bytes.Equal(got, b) {
				r.Fatalf("at %d: %q, %v", at, got, err)
			}
			s.write(b)
		}
		if s.bad != nil || len(s.left) > 0 {
			r.Fatalf("sums: %v, left %v", s.bad, s.left)
		}
	})
}

func FuzzPlainPath(f *testing.F) {
	for _, p := range []string{"a/b", "../a", "/a", "a//b", ".a", "a/./b", "a\x00", "model-00001-of-00002.safetensors"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if !plainPath(p) {
			return
		}
		if rel, err := filepath.Rel("/models/x", filepath.Join("/models/x", p)); err != nil || rel != p {
			t.Fatalf("%q leads to %q", p, rel)
		}
	})
}
