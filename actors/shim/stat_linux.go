package shim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// A stat is what the kernel tells of a process.
type stat struct {
	state                  byte // Z: dead, not reaped yet
	parent, group, session int
	start                  uint64 // ticks from the machine's boot: with the number, it names the process for good
}

func statOf(pid int) (stat, bool) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	return parseStat(raw)
}

// hungry tells whether a process wants to run: one of its threads waits for a processor, has one, or waits for the disk.
func hungry(pid int) bool {
	threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	for _, name := range threads {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if s, ok := parseStat(raw); ok && (s.state == 'R' || s.state == 'D') {
			return true
		}
	}
	return false
}

// parseStat reads /proc/PID/stat. The command's name may hold anything; the fields follow its last bracket.
func parseStat(raw []byte) (s stat, ok bool) {
	f := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	const started = 19
	if len(f) <= started || len(f[0]) != 1 {
		return stat{}, false
	}
	s.state = f[0][0]
	for i, to := range []*int{&s.parent, &s.group, &s.session} {
		n, err := strconv.Atoi(string(f[1+i]))
		if err != nil {
			return stat{}, false
		}
		*to = n
	}
	start, err := strconv.ParseUint(string(f[started]), 10, 64)
	s.start = start
	return s, err == nil
}

// Born tells when the kernel has started a process, as text that with its number names it
// for good, over the machine's restarts too; empty: there is none such.
func Born(pid int) string {
	s, there := statOf(pid)
	if !there {
		return ""
	}
	return fmt.Sprintf("%d %.8s", s.start, bootID())
}

// bootID tells the machine's runs apart.
func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(raw))
}
