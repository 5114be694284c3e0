package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// awaitEnd returns when the process has ended, or ctx. A process is known by its
// number and the time at which it started, since numbers are used again.
func awaitEnd(ctx context.Context, pid int) {
	first := startOf(pid)
	for first != "" && startOf(pid) == first {
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// startOf is the start time in /proc/PID/stat, or "" for a process that is no
// more, be it that nobody has reaped it yet.
func startOf(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The command's name may hold anything; the fields follow its last bracket.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	const state, started = 0, 19
	if len(fields) <= started || string(fields[state]) == "Z" {
		return ""
	}
	return string(fields[started])
}
