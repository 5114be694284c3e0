package engine

import (
	"time"

	"github.com/lotabots/lotabots/actors/starved"
)

// Starved is for how long, all together, the threads of the engine's process and of its descendants have waited for a
// processor, though they had something to do; 0: not told here.
func (l *local) Starved() time.Duration { return waited(l.leader()) }

func waited(pid int) (sum time.Duration) {
	descend(pid, func(pid int) { sum += starved.Total(pid) })
	return sum
}
