package repocheck

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write node/docs/ERRORS.md anew")

// TestTree holds this repository to the rules.
func TestTree(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads the whole tree on one goroutine: nothing for the race detector")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	names, err := Listed(root)
	if err != nil {
		t.Skipf("not a git work tree: %v", err)
	}
	tree, err := Load(os.DirFS(root), names)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.goes) < 50 {
		t.Fatalf("only %d Go files: this is not the whole tree", len(tree.goes))
	}
	if *update {
		page, _ := tree.ErrorsPage()
		if err := os.WriteFile(filepath.Join(root, errorsPage), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		tree.files[errorsPage] = []byte(page)
	}
	for _, f := range tree.Check() {
		t.Error(f)
	}
}
