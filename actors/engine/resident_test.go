package engine

import (
	"os"
	"runtime"
	"testing"
)

func TestResident(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("told on Linux alone")
	}
	if got := resident(os.Getpid()); got < 1<<20 || got > 1<<40 {
		t.Errorf("this process has %d bytes", got)
	}
	if got := resident(0) + resident(-5); got != 0 {
		t.Errorf("nobody has %d bytes", got)
	}
}
