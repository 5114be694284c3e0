package starved

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Total is for how long the threads of a process have waited for a processor, all together since each began;
// 0: not told here. Source: Linux's Documentation/scheduler/sched-stats, "run_delay" of each thread.
func Total(pid int) (waited time.Duration) {
	if pid <= 0 {
		return 0
	}
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range threads {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(raw)); len(fields) > 1 {
			ns, _ := strconv.ParseUint(fields[1], 10, 62)
			waited += time.Duration(ns)
		}
	}
	return waited
}
