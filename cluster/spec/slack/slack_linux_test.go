package slack

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test's program is also the one that takes slack.
func init() {
	if os.Getenv("TAKES_SLACK") == "" {
		return
	}
	Take()
	is, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	bound := 0
	_ = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&bound)), 0, 0, 0)
	Return()
	left, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println(os.Getpid(), len(os.Args), is, left, syscall.Signal(bound))
	os.Exit(0)
}

// started starts the program on a thread that has such slack, and returns its number and what it says.
func started(t *testing.T, slack uintptr) (pid int, says string) {
	t.Helper()
	c := exec.Command(os.Args[0], "one", "two")
	c.Env = append(os.Environ(), "TAKES_SLACK=1")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	done, none := make(chan error), false
	go func() {
		runtime.LockOSThread() // and it ends with its goroutine
		err := unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0)
		if none = err != nil; !none {
			err = c.Run()
		}
		done <- err
	}()
	if err := <-done; none {
		t.Skipf("this kernel knows no slack: %v", err)
	} else if err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return c.Process.Pid, strings.TrimSpace(out.String())
}

// A process takes the slack, under its own number, with its arguments and bound to its parent, and gives it back.
func TestTake(t *testing.T) {
	pid, says := started(t, usual)
	if want := strconv.Itoa(pid) + " 3 1000000 50000 killed"; says != want {
		t.Errorf("%q, want %q", says, want)
	}
}

// What somebody else has chosen is left.
func TestTakeNothing(t *testing.T) {
	pid, says := started(t, 70_000)
	if want := strconv.Itoa(pid) + " 3 70000 70000 killed"; says != want {
		t.Errorf("%q, want %q", says, want)
	}
}
