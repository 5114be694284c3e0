//go:build mutant

package raftlog_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/lotabots/lotabots/cluster/spec/mutant"
)

// TestMutantLosesWhatItAcknowledged: the broken build serves what it holds back,
// has it on disk in the end, and does not have it at once.
func TestMutantLosesWhatItAcknowledged(t *testing.T) {
	if !mutant.On(mutant.AckBeforeSync) {
		t.Skip("the mutant is not chosen")
	}
	fs := vfs.NewCrashableMem()
	s := store(t, fs)
	must(t, s.StoreLogs(entries(1, 5, 1)))
	checkBounds(t, s, 1, 5)
	for _, l := range entries(1, 5, 1) {
		checkEntry(t, s, l)
	}
	killed, done := crash(t, fs, 1, 100) // as by kill -9: whatever the system has been given is kept
	checkBounds(t, killed, 0, 0)
	done()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		after, done := crash(t, fs, 1, 0)
		last, err := after.LastIndex()
		done()
		must(t, err)
		if last == 5 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("what was held back never came to disk")
		}
	}
	must(t, s.StoreLogs(entries(6, 9, 1)))
	must(t, s.DeleteRange(8, 9))
	checkBounds(t, s, 1, 7)
}
