package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// leader is the engine's process; 0: there is none.
func (l *local) leader() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.process == nil {
		return 0
	}
	return l.mu.process.pid
}

const maxDescendants = 256

// descend visits a process and its descendants; nobody where pid is none.
func descend(pid int, visit func(pid int)) {
	rest := []int{pid}
	for seen := 0; len(rest) > 0 && seen < maxDescendants; seen++ {
		pid, rest = rest[0], rest[1:]
		if pid <= 0 {
			continue
		}
		visit(pid)
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		for _, child := range strings.Fields(string(raw)) {
			n, _ := strconv.Atoi(child)
			rest = append(rest, n)
		}
	}
}

// resident is the memory, in bytes, that a process and its descendants have in RAM,
// what they share with others included; 0: not told here.
func resident(pid int) (bytes uint64) {
	descend(pid, func(pid int) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return
		}
		if fields := strings.Fields(string(raw)); len(fields) > 1 {
			pages, _ := strconv.ParseUint(fields[1], 10, 40)
			bytes += pages * uint64(os.Getpagesize())
		}
	})
	return bytes
}
