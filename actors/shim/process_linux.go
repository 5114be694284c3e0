package shim

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// apart gives a child a session of its own, and death with the thread that starts it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// renounce has what this thread starts from now on get no privileges by any program, nor those that a
// shim which is not root may hand on.
func renounce() error {
	const (
		setNoNewPrivileges = 38
		ambient, clearAll  = 47, 4
	)
	if _, _, code := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivileges, 1, 0, 0, 0, 0); code != 0 {
		return fmt.Errorf("no_new_privs: %w", code)
	}
	if _, _, code := syscall.RawSyscall6(syscall.SYS_PRCTL, ambient, clearAll, 0, 0, 0, 0); code != 0 {
		return fmt.Errorf("ambient capabilities: %w", code)
	}
	return nil
}

// Arguments of waitid.
const (
	anybody  = 0         // P_ALL
	byPID    = 1         // P_PID
	exited   = 4         // WEXITED
	unreaped = 0x1000000 // WNOWAIT
)

// awaitExit returns when the process has ended and leaves it unreaped, so that its number and its
// group's still mean it; false: it could not wait.
func awaitExit(pid int) bool {
	for {
		_, _, code := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, exited|unreaped, 0, 0)
		if !errors.Is(code, syscall.EINTR) {
			return code == 0
		}
	}
}

// adopt makes this process the parent of what its descendants leave behind: nothing that the engine has
// started gets out of sight by leaving its session.
func adopt() {
	const setChildSubreaper = 36
	_, _, _ = syscall.Syscall6(syscall.SYS_PRCTL, setChildSubreaper, 1, 0, 0, 0, 0) // without, the group is all that is known
}

// reapAdopted reaps the dead that were adopted, but not the engine, for which somebody else waits.
func reapAdopted(engine int) {
	for {
		var info [32]int32 // siginfo_t: si_pid is its fourth word
		_, _, code := syscall.Syscall6(syscall.SYS_WAITID, anybody, 0, uintptr(unsafe.Pointer(&info)), exited|unreaped|syscall.WNOHANG, 0, 0)
		if errors.Is(code, syscall.EINTR) {
			continue
		}
		pid := int(info[3])
		if code != 0 || pid == 0 || pid == engine {
			return
		}
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}

// endChildren kills this process's children except one, then theirs, which become its own, and so on.
func endChildren(except int) {
	for end := time.Now().Add(childWait); time.Now().Before(end); {
		found := false
		for pid, s := range processes() {
			if s.parent == os.Getpid() && pid != except {
				found = true
				_ = syscall.Kill(pid, syscall.SIGKILL)
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			}
		}
		if !found {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// processes are those of this machine that can be seen, by their numbers.
func processes() map[int]stat {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	found := map[int]stat{}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if s, ok := statOf(pid); ok {
				found[pid] = s
			}
		}
	}
	return found
}
