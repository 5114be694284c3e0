package blobs

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
)

func tarOf(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Mode: 0o644, Size: 5, Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestATarOfAnAdapterIsImported(t *testing.T) {
	s := open(t, t.TempDir())
	good := tarOf(t, "fr/", "fr/README.md", "fr/adapter_config.json", "fr/adapter_model.safetensors")
	m, err := s.Import("fr", strings.NewReader(good))
	if err != nil || m.GetFormat() != formatAdapter || m.GetSize() != uint64(len(good)) {
		t.Errorf("%+v, %v", m, err)
	}
	for name, file := range map[string]string{"another tar": tarOf(t, "model.bin", "config.json"), "an empty tar": tarOf(t), "cut": good[:400]} {
		if _, err := s.Import("x", strings.NewReader(file)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzHoldsAdapter(f *testing.F) {
	f.Add([]byte(strings.Repeat("x", 257) + "ustar"))
	f.Fuzz(func(_ *testing.T, head []byte) { holdsAdapter(head) })
}
