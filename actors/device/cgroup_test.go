package device

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

func TestReadLimits(t *testing.T) {
	files, err := filepath.Glob("testdata/cgroup/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d trees, %v", len(files), err)
	}
	for _, name := range files {
		tree, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		root := fstest.MapFS{}
		for _, f := range tree.Files {
			root[f.Name] = &fstest.MapFile{Data: f.Data}
		}
		_, want, _ := strings.Cut(string(tree.Comment), "want ")
		if got := describe(readLimits(root)); got != strings.TrimSpace(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func describe(l limits) string {
	bytes := func(n uint64) string {
		if n == math.MaxUint64 {
			return "none"
		}
		return fmt.Sprint(n)
	}
	cores := fmt.Sprint(l.cores)
	if math.IsInf(l.cores, 1) {
		cores = "none"
	}
	return fmt.Sprintf("memory=%s free=%s cores=%s", bytes(l.memory), bytes(l.free), cores)
}

// Whatever the files say, bounds stay bounds.
func FuzzReadLimits(f *testing.F) {
	f.Add("0::/a/b\n", "100\n", "50 max\n")
	f.Add("4:memory,cpu:/../..\n0::\n", "-1", "max 100000")
	f.Fuzz(func(t *testing.T, groups, number, cpu string) {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(groups)}}
		for _, dir := range []string{"", "a/", "memory/", "cpu/"} {
			root["sys/fs/cgroup/"+dir+"memory.max"] = &fstest.MapFile{Data: []byte(number)}
			root["sys/fs/cgroup/"+dir+"memory.current"] = &fstest.MapFile{Data: []byte(number)}
			root["sys/fs/cgroup/"+dir+"memory.limit_in_bytes"] = &fstest.MapFile{Data: []byte(number)}
			root["sys/fs/cgroup/"+dir+"cpu.max"] = &fstest.MapFile{Data: []byte(cpu)}
		}
		if l := readLimits(root); l.cores <= 0 || math.IsNaN(l.cores) || l.free != math.MaxUint64 && l.free > l.memory {
			t.Errorf("%+v", l)
		}
	})
}
