package repocheck

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"sort"
	"strings"
)

// Module is the path of this repository's module.
const Module = "github.com/lotabots/lotabots"

// A Tree is the text of a repository.
type Tree struct {
	files map[string][]byte // slash-separated path -> content
	goes  []*goFile
	fset  *token.FileSet
}

type goFile struct {
	path      string
	lines     int
	test      bool
	generated bool
	syntax    *ast.File
}

// Load reads the named files of root and parses those of Go.
func Load(root fs.FS, names []string) (*Tree, error) {
	t := &Tree{files: map[string][]byte{}, fset: token.NewFileSet()}
	sort.Strings(names)
	for _, name := range names {
		raw, err := fs.ReadFile(root, name)
		if err != nil {
			continue // listed by git, deleted in the work tree
		}
		t.files[name] = raw
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		syntax, err := parser.ParseFile(t.fset, name, raw, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		t.goes = append(t.goes, &goFile{
			path: name, lines: bytes.Count(raw, []byte("\n")), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(syntax), syntax: syntax,
		})
	}
	return t, nil
}

// Listed returns the files of the work tree in dir that git knows or would add.
func Listed(dir string) ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00"), nil
}

// A Finding is one breach of one rule.
type Finding struct {
	Rule string
	Path string
	Text string // what is wrong and how to mend it
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s [%s]", f.Path, f.Text, f.Rule) }

// Check applies every rule.
func (t *Tree) Check() []Finding {
	var found []Finding
	for _, rule := range []func() []Finding{t.imports, t.docs, t.sizes, t.names, t.topLevel, t.catalogue, t.traces} {
		found = append(found, rule()...)
	}
	return found
}

// importsOf lists the imports of f as paths.
func importsOf(f *goFile) []string {
	var out []string
	for _, spec := range f.syntax.Imports {
		out = append(out, strings.Trim(spec.Path.Value, `"`))
	}
	return out
}

// room is the top-level folder of a file.
func room(name string) string {
	first, _, ok := strings.Cut(name, "/")
	if !ok {
		return ""
	}
	return first
}

func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func folder(name string) string { return path.Dir(name) }
