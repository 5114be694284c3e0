package engine

import (
	"errors"
	"syscall"
)

// apart gives a child a session of its own, and death with the thread that starts it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns when the process has ended and leaves it unreaped, so that its number and its
// group's still mean it; false: it could not wait.
func awaitExit(pid int) bool {
	const (
		byPID    = 1         // P_PID
		exited   = 4         // WEXITED
		unreaped = 0x1000000 // WNOWAIT
	)
	for {
		_, _, code := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, exited|unreaped, 0, 0)
		if !errors.Is(code, syscall.EINTR) {
			return code == 0
		}
	}
}
