package engine

import (
	"fmt"
	"syscall"
)

// Owns tells whether the process is the engine's or one that it started: both are of its session.
func (l *local) Owns(pid int) bool {
	l.mu.Lock()
	p := l.mu.process
	l.mu.Unlock()
	if p == nil || pid <= 0 {
		return false
	}
	session, _, failed := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	return failed == 0 && int(session) == p.pid
}

// Identity tells the engine's process from all others, also to a later process of the node; empty: it has
// none, or that cannot be told.
func (l *local) Identity() string {
	l.mu.Lock()
	p := l.mu.process
	l.mu.Unlock()
	if p == nil || p.born == "" {
		return ""
	}
	return fmt.Sprintf("%d %s", p.pid, p.born)
}
