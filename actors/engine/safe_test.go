package engine

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// torch is a file as torch.save writes it.
func torch(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range []string{"archive/data.pkl", "archive/data/0"} {
		if _, err := z.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPicklesAreRefused(t *testing.T) {
	old, plain := []byte("\x80\x02}q\x00."), []byte("GGUF\x03\x00\x00\x00")
	for name, c := range map[string]struct {
		files   map[string][]byte
		refused bool
		format  bool
	}{
		"safetensors alone":      {map[string][]byte{"model.safetensors": plain, "config.json": []byte("{}")}, false, true},
		"both":                   {map[string][]byte{"model.safetensors": plain, "pytorch_model.bin": torch(t)}, false, true},
		"torch":                  {map[string][]byte{"pytorch_model.bin": torch(t)}, true, false},
		"old torch":              {map[string][]byte{"model.pth": old}, true, false},
		"another name":           {map[string][]byte{"weights": torch(t)}, true, false},
		"a damaged archive":      {map[string][]byte{"model.pt": torch(t)[:20]}, true, false},
		"no pickle, though .bin": {map[string][]byte{"model.bin": []byte("\x06\x00\x00\x00CTranslate")}, false, false},
		"gguf":                   {map[string][]byte{"model.gguf": plain}, false, false},
		"short":                  {map[string][]byte{"x": {0x80}}, false, false},
		"nothing":                {nil, false, false},
	} {
		dir := t.TempDir()
		for file, content := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := safeWeights(dir); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		} else if err != nil {
			expect(t, err, "engine_unavailable", "pickle")
		}
		if got := loadFormat(dir); (got != nil) != c.format {
			t.Errorf("%s: %q", name, got)
		}
		for file := range c.files {
			if err := safeWeights(filepath.Join(dir, file)); (err != nil) != slices.Contains([]string{"pytorch_model.bin", "model.pth", "weights", "model.pt"}, file) {
				t.Errorf("%s alone: %v", file, err)
			}
		}
	}
}

// What imports let in is asked again before a program gets it.
func TestPickleIsNotGivenToAProgram(t *testing.T) {
	config, record := fakeConfig(t, "")
	model := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(model, torch(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, preset := range []string{VLLM, SGLang} {
		s := demoSpec(1)
		s.Preset, s.Model = preset, model
		_, err := New(config).Open(s)
		expect(t, err, "engine_unavailable", "pickle")
		if len(noted(t, record[preset])) > 0 {
			t.Errorf("%s was started", preset)
		}
	}
}

func FuzzPickled(f *testing.F) {
	f.Add([]byte("\x80\x02}q\x00."))
	f.Add([]byte("PK\x03\x04aaaa"))
	f.Add([]byte("GGUF"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := pickled(path); !got && len(content) >= 4 && content[0] == 0x80 && content[1] == 4 {
			t.Errorf("%q passes", content)
		}
	})
}
