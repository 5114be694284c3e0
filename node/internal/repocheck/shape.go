package repocheck

import (
	"fmt"
	"go/ast"
	"path"
	"sort"
	"strings"
)

// Limits on size. Tests may run longer: a table reads best in one piece.
const (
	maxFileLines = 500
	maxFuncLines = 70
	maxTestLines = 120
)

// vague are names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "base", "core", "misc"}

// top is everything that may stand in the root.
var top = map[string]bool{
	"node": true, "actors": true, "cluster": true, "gateway": true, "storage": true, "chaos": true, ".ci": true,
	"go.mod": true, "go.sum": true, "Makefile": true, "README.md": true, "LICENSE": true, "CHANGELOG.md": true,
	"CONTRIBUTING.md": true, ".gitignore": true, ".gitattributes": true, ".golangci.yml": true,
}

func (t *Tree) docs() []Finding {
	documented, seen := map[string]bool{}, map[string]bool{}
	for _, f := range t.goes {
		dir := folder(f.path)
		if !f.test {
			seen[dir] = true
		}
		if path.Base(f.path) == "doc.go" && f.syntax.Doc != nil {
			documented[dir] = true
		}
	}
	var found []Finding
	for dir := range seen {
		if !documented[dir] {
			found = append(found, Finding{"docs", dir, "has no doc.go with a package comment: say what it owns, who calls it, what it may not import"})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	return found
}

func (t *Tree) sizes() []Finding {
	var found []Finding
	for _, f := range t.goes {
		if f.generated {
			continue
		}
		if f.lines > maxFileLines {
			found = append(found, Finding{"sizes", f.path, fmt.Sprintf("has %d lines, over %d: split it by concern", f.lines, maxFileLines)})
		}
		limit := maxFuncLines
		if f.test {
			limit = maxTestLines
		}
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1
			if lines > limit {
				found = append(found, Finding{"sizes", f.path, fmt.Sprintf("func %s has %d lines, over %d: let steps be functions", fn.Name.Name, lines, limit)})
			}
		}
	}
	return found
}

func (t *Tree) names() []Finding {
	var found []Finding
	for _, f := range t.goes {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test")
		for _, name := range append(strings.Split(folder(f.path), "/"), stem, f.syntax.Name.Name) {
			for _, v := range vague {
				if name == v {
					found = append(found, Finding{"names", f.path, fmt.Sprintf("%q says nothing: name it after what it does", name)})
				}
			}
		}
	}
	return found
}

func (t *Tree) topLevel() []Finding {
	var found []Finding
	told := map[string]bool{}
	for name := range t.files {
		first, _, _ := strings.Cut(name, "/")
		if !top[first] && !told[first] {
			told[first] = true
			found = append(found, Finding{"top level", first, "does not belong into the root: the six rooms and the repository's own files stand there"})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	return found
}
