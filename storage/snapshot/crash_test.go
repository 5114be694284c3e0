package snapshot

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childDir makes the test's binary take snapshots there until it is killed.
const childDir = "LOTABOTS_SNAPSHOT_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child takes snapshots from the newest index on, and says each index that it
// has closed.
func child(dir string) error {
	s, err := Open(dir, 2, nil)
	if err != nil {
		return err
	}
	list, err := s.List()
	if err != nil {
		return err
	}
	index := uint64(1)
	if len(list) > 0 {
		index = list[0].Index + 1
	}
	for ; ; index++ {
		k, err := s.Create(1, index, 3, servers, 2, nil)
		if err != nil {
			return err
		}
		if _, err := k.Write(content(index, 50_000)); err != nil {
			return err
		}
		if err := k.Close(); err != nil {
			return err
		}
		fmt.Println(index)
	}
}

// TestKilledWhileWriting kills a process that takes snapshots, at any point:
// what it said to be taken is there, and everything listed is whole.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	for round := range 12 {
		said := killed(t, dir, time.Duration(rand.IntN(40))*time.Millisecond)
		s := open(t, dir)
		list, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		if said > 0 && (len(list) == 0 || list[0].Index < said) {
			t.Fatalf("round %d: %d was said to be taken, listed is %v", round, said, list)
		}
		for _, m := range list {
			_, r, err := s.Open(m.ID)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			got, err := io.ReadAll(r)
			r.Close()
			if err != nil || !bytes.Equal(got, content(m.Index, 50_000)) {
				t.Fatalf("round %d: snapshot %d is not what was written", round, m.Index)
			}
		}
		if got := names(t, dir); strings.Contains(got, unfinished) || strings.Contains(got, bad) {
			t.Fatalf("round %d: the directory has %s", round, got)
		}
	}
}

// killed runs the child and kills it some time after its first snapshot. It
// returns the last index that was said.
func killed(t *testing.T, dir string, after time.Duration) (said uint64) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), childDir+"="+dir), os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		index, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break // cut off by the kill
		}
		if said == 0 {
			time.AfterFunc(after, func() { _ = c.Process.Kill() })
		}
		said = index
	}
	_ = c.Wait() // it was killed
	if said == 0 {
		t.Fatal("the child took no snapshot")
	}
	return said
}
