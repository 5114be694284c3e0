package slack

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	usual = 50_000    // ns, Linux's default
	ours  = 1_000_000 // ns
)

// Take gives all threads of this process a millisecond of slack. Those that are there already would keep what they
// have, so the process executes its program anew, with the same number, files, arguments and environment: to be
// called by an init, which is on the first thread, and before signals are caught or anything else is done that would be
// lost. Slack that somebody else has chosen (systemd's TimerSlackNSec) is left as it is, and where a program may not be
// executed the process goes on as it was.
func Take() {
	if !has(usual) {
		return
	}
	self, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, ours, 0, 0, 0) != nil || !has(ours) { // or it would not end
		return
	}
	_ = unix.Exec(self, os.Args, os.Environ())
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usual, 0, 0, 0)
}

// Return gives this thread the usual slack where it has Take's, for a program of somebody else that it is about to
// start. The caller has locked its goroutine to the thread.
func Return() {
	if has(ours) {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usual, 0, 0, 0)
	}
}

func has(slack int) bool {
	is, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return err == nil && is == slack
}
