//go:build cgo && linux

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stubCUDA is what hold-memory calls of the driver's library, for machines without: memory is taken as
// long as the whole order of calls is kept.
const stubCUDA = `static int step;
int cuInit(unsigned f) { return f == 0 && step++ == 0 ? 0 : 99; }
int cuDeviceGet(int *d, int n) { *d = 7; return n == 0 && step++ == 1 ? 0 : 99; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = &step; return d == 7 && step++ == 2 ? 0 : 99; }
int cuCtxSetCurrent(void *c) { return c == &step && step++ == 3 ? 0 : 99; }
int cuMemAlloc_v2(unsigned long long *m, unsigned long n) { *m = 1; return step == 4 && n == (3ul << 20) ? 0 : 2; }
`

// TestHoldMemory against a stand-in for libcuda: no GPU is here.
func TestHoldMemory(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "cuda.c")
	if err := os.WriteFile(source, []byte(stubCUDA), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", filepath.Join(dir, "libcuda.so.1"), source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(mib string) (*exec.Cmd, *bytes.Buffer) {
		c := exec.Command(os.Args[0], "hold-memory", "--mib", mib)
		c.Env = append(os.Environ(), "LOTABOTS_ENGINE_TEST=run", "LD_LIBRARY_PATH="+dir)
		complaint := &bytes.Buffer{}
		c.Stderr = complaint
		return c, complaint
	}
	c, complaint := run("3")
	leash, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "3 MiB are taken\n" {
		t.Errorf("it says %q, %s", line, complaint)
	}
	if err := leash.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, complaint)
	}
	c, complaint = run("4")
	if err := c.Run(); err == nil || !strings.Contains(complaint.String(), "CUDA refuses with its code 2") {
		t.Errorf("%v: %s", err, complaint)
	}
}
