package main

import (
	"runtime"
	"testing"
)

func TestSpareProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "3")
	if makeSpare(); runtime.GOMAXPROCS(0) != before {
		t.Error("what was asked for was changed")
	}
	t.Setenv("GOMAXPROCS", "")
	if makeSpare(); runtime.GOMAXPROCS(0) != before+spareProcessors {
		t.Errorf("%d of %d", runtime.GOMAXPROCS(0), before)
	}
}
