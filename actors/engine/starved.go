package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Starved is for how long, all together, the threads of the engine's process and of its descendants have waited for a
// processor, though they had something to do; 0: not told here.
func (l *local) Starved() time.Duration { return starved(l.leader()) }

// starved reads what Linux tells of the scheduling of each thread (Documentation/scheduler/sched-stats, "run_delay").
func starved(pid int) (waited time.Duration) {
	descend(pid, func(pid int) {
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
	})
	return waited
}
