package shim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newLog(t *testing.T) *output {
	t.Helper()
	o, err := openOutput(filepath.Join(t.TempDir(), "x.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	return o
}

func TestOutputIsBounded(t *testing.T) {
	o := newLog(t)
	var want int
	for i := range 60_000 {
		n, err := fmt.Fprintf(o, "this is line number %d of a long log that goes on\n", i)
		if err != nil {
			t.Fatal(err)
		}
		want += n
	}
	if _, err := o.Write(bytes.Repeat([]byte("x"), 3*maxLog)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(o, "\nthe end")
	for _, name := range []string{o.path, o.path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	raw, err := os.ReadFile(o.path)
	if err != nil || !bytes.HasSuffix(raw, []byte("the end\n")) {
		t.Errorf("the log ends with %q, %v", raw[max(0, len(raw)-20):], err)
	}
	if last := o.last(); last != "the end" || want < 2*maxLog {
		t.Errorf("%q after %d bytes", last, want)
	}
}

func TestOutputTellsItsEnd(t *testing.T) {
	o := newLog(t)
	if got := o.last(); got != "" {
		t.Errorf("%q", got)
	}
	for i := range 500 {
		fmt.Fprintf(o, "line %d\n\n", i)
	}
	fmt.Fprint(o, "bytes \xff\xfe and no newline")
	got := o.last()
	if !strings.HasSuffix(got, "line 498 | line 499 | bytes ? and no newline") || !strings.HasPrefix(got, "line ") || len(got) > 3*maxTold {
		t.Errorf("%q", got)
	}
	o.close()
	if _, err := o.Write([]byte("late")); err != nil || !strings.HasSuffix(o.last(), "late") {
		t.Errorf("a late line: %v, %q", err, o.last())
	}
}

// What a new start of the instance says does not hide what the last one said.
func TestOutputKeepsTheOneBefore(t *testing.T) {
	o := newLog(t)
	fmt.Fprint(o, "before")
	o.close()
	again, err := NewLog(o.path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if raw, err := os.ReadFile(o.path + ".1"); err != nil || string(raw) != "before" {
		t.Errorf("%q, %v", raw, err)
	}
}
