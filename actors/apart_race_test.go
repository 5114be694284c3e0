//go:build race

package actors

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const raceEnabled = true

// runApart runs each test in a process of its own: protoactor's remote sets a
// global of grpc's whenever it starts, which races with the goroutines of any
// remote that runs or has run. A node starts one in its life, and so may a
// process here: tests with two nodes are skipped under the race detector.
func runApart() (code int, done bool) {
	if os.Getenv("LOTABOTS_ACTORS_TEST") == "apart" {
		return 0, false
	}
	pattern := "."
	for _, a := range os.Args {
		if p, ok := strings.CutPrefix(a, "-test.run="); ok && p != "" {
			pattern = p
		}
	}
	listing := exec.Command(os.Args[0], "-test.list="+pattern)
	listing.Env = append(os.Environ(), "LOTABOTS_ACTORS_TEST=apart")
	list, err := listing.Output()
	if err != nil {
		os.Stderr.WriteString("listing the tests: " + err.Error() + "\n")
		return 1, true
	}
	for name := range strings.FieldsSeq(string(list)) {
		if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		child := exec.Command(os.Args[0], append(os.Args[1:], "-test.run=^"+name+"$")...)
		child.Env = append(os.Environ(), "LOTABOTS_ACTORS_TEST=apart", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
		out, err := child.CombinedOutput()
		if err != nil {
			code = 1
		}
		if err != nil || bytes.Contains(out, []byte("--- ")) {
			_, _ = os.Stdout.Write(out)
		}
	}
	return code, true
}

// alone skips a test that needs a second node in this process.
func alone(t *testing.T) {
	t.Skip("two nodes in one process race in a library: see runApart")
}
