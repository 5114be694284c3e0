package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	safetensors = ".safetensors"
	ggufSuffix  = ".gguf"
	// safeModule is what loaders read of a module's directory before they look for a pickle.
	safeModule = "model" + safetensors
	// moduleList names the directories beside a model's own that are loaded with it, as sentence-transformers has them.
	moduleList = "modules.json"
	// maxModelFiles bounds the search in a model's directories, whose links may lead anywhere.
	maxModelFiles = 20_000
)

// pickleSuffixes are the names by which vLLM and SGLang take a file for one that PyTorch reads.
var pickleSuffixes = []string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}

// A guard looks for weights that can only be had by running what is in them, as Python's pickles are.
type guard struct {
	names bool // a file is refused by its name as well: its first bytes may be anything for all that
}

// safeWeights tells why a model is not given to an engine: some of it is a pickle. Of a directory that has
// safetensors, those are loaded (loadFormat), and what else is there is left alone, as is what lies in
// directories under it that moduleList does not name. Code that comes with a model is not looked for: no
// preset of ours lets it be run, and many models carry some for other programs.
func safeWeights(path string, g guard) error {
	info, err := os.Stat(path)
	if err != nil {
		return &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the model cannot be read", Err: err, Hint: "Bring it to the node, and see that the node may read it"}
	}
	switch {
	case !info.IsDir():
		return g.file(path, filepath.Base(path))
	case !hasSafetensors(path):
		return g.tree(path, ".", hasSafetensors)
	}
	modules, ok := modulesOf(path)
	if !ok {
		return g.tree(path, ".", hasSafetensors)
	}
	for _, module := range modules {
		if err := g.tree(path, module, hasSafeModule); err != nil {
			return err
		}
	}
	return nil
}

// A search is one walk through a model's directories, each of which is looked at once, whatever links lead to it.
type search struct {
	guard
	root  string
	safe  func(dir string) bool // of what is loaded otherwise than by its pickles
	seen  map[string]bool
	files int
}

func (g guard) tree(root, dir string, safe func(dir string) bool) error {
	s := search{guard: g, root: root, safe: safe, seen: map[string]bool{}}
	return s.look(dir)
}

// look judges what is in a directory under root and below it.
func (s *search) look(dir string) error {
	real, err := filepath.EvalSymlinks(filepath.Join(s.root, dir))
	switch {
	case os.IsNotExist(err) && dir != ".":
		return nil // a module that is not there is the engine's to miss
	case err != nil:
		return unreadable(err)
	case s.seen[real]:
		return nil
	}
	s.seen[real] = true
	entries, err := os.ReadDir(real)
	if err != nil {
		return unreadable(err)
	}
	if s.files += len(entries); s.files > maxModelFiles {
		return spec.Errorf(spec.CodeEngineUnavailable, "the model's directory has more than %d files", maxModelFiles)
	}
	leave := s.safe(real)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(filepath.Join(real, e.Name())) // of what a link leads to
		switch {
		case err != nil: // a link to nothing
			continue
		case info.IsDir():
			err = s.look(name)
		case info.Mode().IsRegular() && !leave:
			err = s.file(filepath.Join(real, e.Name()), name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unreadable(err error) error {
	return &spec.Error{Code: spec.CodeEngineUnavailable, Message: "the model's directory cannot be read", Err: err}
}

// file judges one by what is in it, and as g says by its name, which is told as name.
func (g guard) file(path, name string) error {
	hint := "Use the model in safetensors or GGUF"
	switch {
	case pickled(path):
	case g.names && slices.Contains(pickleSuffixes, strings.ToLower(filepath.Ext(path))):
		hint += ", and remove the file if nothing needs it"
	default:
		return nil
	}
	return &spec.Error{Code: spec.CodeEngineUnavailable,
		Message: fmt.Sprintf("the model's file %s is refused: it is a pickle, which runs code when it is read", name), Hint: hint}
}

// modulesOf lists the directories of moduleList; not ok: what it names cannot be told, or lies elsewhere.
// Fields are matched to the letter, as the engines do.
func modulesOf(dir string) (paths []string, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, moduleList))
	if os.IsNotExist(err) {
		return nil, true
	}
	var modules []map[string]any
	if err != nil || json.Unmarshal(text, &modules) != nil {
		return nil, false
	}
	for _, m := range modules {
		path, _ := m["path"].(string)
		switch path = filepath.Clean(path); {
		case path == ".": // the model itself
		case !filepath.IsLocal(path):
			return nil, false
		default:
			paths = append(paths, path)
		}
	}
	return paths, true
}

func hasSafetensors(dir string) bool { return has(dir, "*"+safetensors) }

func hasSafeModule(dir string) bool { return has(dir, safeModule) }

func has(dir, pattern string) bool {
	found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), pattern)) // a pattern of ours does not fail
	return len(found) > 0
}

// escapeGlob keeps a path's own characters from being a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// loadFormat has vLLM and SGLang, which call it the same, read nothing but safetensors of a directory; empty:
// it is none, or one of GGUF alone.
func loadFormat(model string) []string {
	if info, err := os.Stat(model); err != nil || !info.IsDir() || !hasSafetensors(model) && has(model, "*"+ggufSuffix) {
		return nil
	}
	return []string{"--load-format", "safetensors"}
}
