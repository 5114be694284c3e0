package engine

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

const safetensors = ".safetensors"

// safeWeights tells why a model is not given to an engine: its weights can only be had by running what
// is in them, as Python's pickles are. Of a directory that has safetensors as well, those are loaded
// (loadFormat) and the rest is left alone. Code that comes with a model is not looked for: no preset of
// ours lets it be run, and many models carry some for other programs.
func safeWeights(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the model cannot be read", Err: err, Hint: "Bring it to the node, and see that the node may read it"}
	}
	files := []string{path}
	if info.IsDir() {
		if hasSafetensors(path) {
			return nil
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the model's directory cannot be read", Err: err}
		}
		files = nil
		for _, e := range entries {
			if e.Type().IsRegular() || e.Type()&os.ModeSymlink != 0 {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	for _, file := range files {
		if pickled(file) {
			return &spec.Error{Code: spec.CodeEngineUnavailable,
				Message: fmt.Sprintf("the model's file %s is refused: it is a pickle, which runs code when it is read", filepath.Base(file)),
				Hint:    "Use the model in safetensors or GGUF"}
		}
	}
	return nil
}

func hasSafetensors(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), "*"+safetensors)) // a pattern of ours does not fail
	return len(found) > 0
}

// escapeGlob keeps a path's own characters from being a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// loadFormat has vLLM and SGLang read nothing but safetensors of a directory; empty: it is no such one.
func loadFormat(model string) []string {
	if info, err := os.Stat(model); err == nil && info.IsDir() && hasSafetensors(model) {
		return []string{"--load-format", "safetensors"}
	}
	return nil
}

// pickled goes by a file's first bytes, whatever its name: PyTorch's files are zips with a pickle inside,
// or, older ones, pickles themselves.
func pickled(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // the engine, which may read no more than we, says so
	}
	defer f.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	switch info, err := f.Stat(); {
	case head[0] == 0x80 && head[1] >= 2 && head[1] <= 5: // PROTO and its number
		return true
	case !bytes.Equal(head, []byte("PK\x03\x04")) || err != nil || !info.Mode().IsRegular():
		return false
	default:
		return pickleInside(f, info.Size())
	}
}

func pickleInside(f io.ReaderAt, size int64) bool {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return true // a damaged archive that some reader may read all the same
	}
	for _, entry := range z.File {
		if strings.HasSuffix(strings.ToLower(entry.Name), ".pkl") {
			return true
		}
	}
	return false
}
