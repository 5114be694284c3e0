//go:build !linux

package engine

import "syscall"

// apart gives a child a session of its own. Here it dies with the node by its leash alone.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// awaitExit cannot wait here without reaping.
func awaitExit(int) bool { return false }
