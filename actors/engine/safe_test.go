package engine

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		"torch":                  {map[string][]byte{"pytorch_model.bin": torch(t)}, true, true},
		"old torch":              {map[string][]byte{"model.pth": old}, true, true},
		"another name":           {map[string][]byte{"weights": torch(t)}, true, true},
		"a damaged archive":      {map[string][]byte{"model.pt": torch(t)[:20]}, true, true},
		"no pickle, though .bin": {map[string][]byte{"model.bin": []byte("\x06\x00\x00\x00CTranslate")}, false, true},
		"gguf":                   {map[string][]byte{"model.gguf": plain}, false, false},
		"short":                  {map[string][]byte{"x": {0x80}}, false, true},
		"nothing":                {nil, false, true},
	} {
		dir := t.TempDir()
		for file, content := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := safeWeights(dir, guard{}); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		} else if err != nil {
			expect(t, err, "engine_unavailable", "pickle")
		}
		if got := loadFormat(dir); (got != nil) != c.format {
			t.Errorf("%s: %q", name, got)
		}
		for file := range c.files {
			if err := safeWeights(filepath.Join(dir, file), guard{}); (err != nil) != slices.Contains([]string{"pytorch_model.bin", "model.pth", "weights", "model.pt"}, file) {
				t.Errorf("%s alone: %v", file, err)
			}
		}
	}
}

// What vLLM and SGLang could load of a tree is looked at, by name as well; what they leave alone is no hindrance.
func TestPicklesInTheTree(t *testing.T) {
	const good, raw = "safetensors", "no pickle by its beginning"
	modules := func(path string) string { return `[{"path": ""}, {"path": "` + path + `"}]` }
	for name, c := range map[string]struct {
		files      map[string]string
		names, any bool // refused by vLLM's and SGLang's guard; by that of other programs
	}{
		"by name":                       {map[string]string{"pytorch_model.BIN": raw}, true, false},
		"below":                         {map[string]string{"config.json": "{}", "a/b/x": "\x80\x02}q\x00."}, true, true},
		"below, by name":                {map[string]string{"config.json": "{}", "a/b/x.ckpt": raw}, true, false},
		"below, beside safetensors":     {map[string]string{"unet/m.safetensors": good, "unet/m.bin": raw}, false, false},
		"below safetensors, unread":     {map[string]string{"m.safetensors": good, "original/consolidated.00.pth": "\x80\x02"}, false, false},
		"a module":                      {map[string]string{"m.safetensors": good, moduleList: modules("2_Dense"), "2_Dense/pytorch_model.bin": raw}, true, false},
		"a module of safetensors":       {map[string]string{"m.safetensors": good, moduleList: modules("2_Dense"), "2_Dense/pytorch_model.bin": raw, "2_Dense/model.safetensors": good}, false, false},
		"a module of other safetensors": {map[string]string{"m.safetensors": good, moduleList: modules("2_Dense"), "2_Dense/pytorch_model.bin": raw, "2_Dense/x.safetensors": good}, true, false},
		"beside the modules":            {map[string]string{"m.safetensors": good, moduleList: modules("1_Pooling"), "openvino/openvino_model.bin": raw}, false, false},
		"a module elsewhere":            {map[string]string{"m.safetensors": good, moduleList: modules("../x"), "2_Dense/pytorch_model.bin": raw}, true, false},
		"modules not understood":        {map[string]string{"m.safetensors": good, moduleList: "[NaN]", "2_Dense/pytorch_model.bin": raw}, true, false},
		"a name in other letters":       {map[string]string{"m.safetensors": good, moduleList: `[{"path": "2_Dense", "Path": ""}]`, "2_Dense/pytorch_model.bin": raw}, true, false},
	} {
		dir := t.TempDir()
		for file, content := range c.files {
			path := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := errors.Join(os.Symlink(dir, filepath.Join(dir, "again")), os.Symlink(dir, link)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, link} {
			if err := safeWeights(path, guard{names: true}); (err != nil) != c.names {
				t.Errorf("%s: by name: %v", name, err)
			}
			if err := safeWeights(path, guard{}); (err != nil) != c.any {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestOldPickles(t *testing.T) {
	tarOf := func(name string) string {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: "sys_info", Mode: 0o600}), w.WriteHeader(&tar.Header{Name: name, Mode: 0o600}), w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for content, want := range map[string]bool{
		"cposix\nsystem\np0\n(S'id'\np1\ntp2\nRp3\n.":                   true,
		"cos\nsystem\n(S'id'\ntR.":                                      true,
		"cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.": true,
		"(ios\nsystem\n.":                                               true,
		"(dp0\nS'a'\np1\nI1\ns.":                                        true,
		"}q\x00X\x01\x00\x00\x00aq\x01K\x01s.":                          true,
		"L119547037146038801333356L\n.":                                 true,
		tarOf("pickle"):                                                 true,
		tarOf("nemo/weights.pkl"):                                       true,
		tarOf("adapter_config.json"):                                    false,
		tarOf("pickle")[:1000]:                                          true,
		"cat\ndog\npear\n":                                              false,
		"{\"architectures\": []}":                                       false,
		"[PAD]\n[UNK]\n":                                                false,
		"(c) 2026, all rights reserved\n":                               false,
		"# A model\n\nIt answers.":                                      false,
		"GGUF" + strings.Repeat("\x00", pickleHead):                     false,
		strings.Repeat("\x00", 2*pickleHead):                            false,
	} {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := pickled(path); got != want {
			t.Errorf("%.40q: %v", content, got)
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
