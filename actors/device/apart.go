package device

import "syscall"

// apart keeps a terminal's Ctrl-C from the helper: the node ends it. Should the node die, the helper
// dies of its next line, which nobody reads.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
