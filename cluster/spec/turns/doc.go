// Package turns has what a process does for many go through it in step.
//
// A system call that wakes another process often costs its caller the processor: on a busy machine the kernel lets
// who was woken run at once, and by the time the caller is back its code and data have left the caches. So who is
// about to make one, or has just come back from one that waited, lets the others come as far: the same stretch of code
// is run for several in a row, and then the calls are made in a row.
package turns

import "runtime"

// Yield lets whoever is ready run first.
func Yield() { runtime.Gosched() }
