//go:build !linux

package shim

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// apart gives a child a session of its own. Here it dies with the shim by its leash alone.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// renounce cannot keep here what another user's process starts from getting privileges back, so none is started.
func renounce() error {
	return fmt.Errorf("an engine's own user: no_new_privs: %w", errors.ErrUnsupported)
}

// awaitExit cannot wait here without reaping.
func awaitExit(int) bool { return false }

func adopt() {}

func reapAdopted(int) {}

func endChildren(int) {}

// A stat is not told here: what a killed shim leaves is not found.
type stat struct {
	state                  byte
	parent, group, session int
	start                  uint64
}

func statOf(int) (stat, bool) { return stat{}, false }

func hungry(int) bool { return false }

func processes() map[int]stat { return nil }

func bootID() string { return "" }

// A cgroup is what Linux has.
type cgroup struct{ path string }

func newCgroup(string) *cgroup { return nil }

func openCgroup(string) *cgroup { return nil }

func (*cgroup) join(*syscall.SysProcAttr) {}

func (*cgroup) kill() {}

func (*cgroup) remove() {}

// peerOf cannot tell here who connects: the socket's mode has to do.
func peerOf(*net.UnixConn) (uid, pid int, err error) { return ownUID(), 0, nil }
