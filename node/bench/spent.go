package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const userHz = 100 // of /proc/PID/stat, the same on every Linux that Go runs on

// A spent is what a process has taken so far.
type spent struct {
	cpu      time.Duration
	kernel   time.Duration // of cpu
	switches int           // of its threads, by themselves: each is a wait, and a wake-up after it
}

func (s spent) since(before spent) spent {
	return spent{s.cpu - before.cpu, s.kernel - before.kernel, s.switches - before.switches}
}

// spentBy is zero where it cannot be told.
func spentBy(pid int) (s spent) {
	if pid == 0 {
		return s
	}
	of := filepath.Join("/proc", strconv.Itoa(pid))
	if raw, err := os.ReadFile(filepath.Join(of, "stat")); err == nil {
		s = cpuIn(string(raw))
	}
	tasks, _ := filepath.Glob(filepath.Join(of, "task", "*", "status"))
	for _, t := range tasks {
		if raw, err := os.ReadFile(t); err == nil { // a thread may have ended
			s.switches += switchesIn(raw)
		}
	}
	if tasks, _ = filepath.Glob(filepath.Join(of, "task", "*", "schedstat")); len(tasks) > 0 { // which is exact
		s.cpu = 0
		for _, t := range tasks {
			if raw, err := os.ReadFile(t); err == nil {
				s.cpu += computedIn(raw)
			}
		}
	}
	return s
}

// cpuIn reads user and system time out of /proc/PID/stat.
func cpuIn(stat string) spent {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name may have spaces
	if len(fields) < 13 {
		return spent{}
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return spent{}
	}
	return spent{cpu: time.Duration(user+system) * time.Second / userHz, kernel: time.Duration(system) * time.Second / userHz}
}

// computedIn reads what a thread has computed out of its /proc/PID/task/TID/schedstat.
func computedIn(schedstat []byte) time.Duration {
	first, _, _ := bytes.Cut(schedstat, []byte(" "))
	ns, _ := strconv.ParseInt(string(first), 10, 64)
	return time.Duration(ns)
}

// switchesIn reads a thread's own switches out of its /proc/PID/task/TID/status.
func switchesIn(status []byte) int {
	_, rest, _ := bytes.Cut(status, []byte("\nvoluntary_ctxt_switches:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line)))
	return n
}
