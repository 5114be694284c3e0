package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// inside marks a shim's environment: a program that takes a shim's command line for its own must not
// start shims in turn.
const inside = "LOTABOTS_ENGINE_SHIM"

// Options say how a shim is started.
type Options struct {
	Program []string // and its first arguments; the room's name follows
	Room    string   // directory, empty and locked
	Lock    *os.File // of the room; Start closes it in any case
	Log     *os.File // takes what the shim itself says; Start closes it
	Env     []string // nothing of the node's beyond it
}

// Start starts a shim. The link has no claim yet; until it has one and an engine, the shim ends with it.
func Start(o Options) (*Link, error) {
	defer o.Lock.Close()
	defer o.Log.Close()
	if os.Getenv(inside) != "" {
		return nil, errors.New("a shim starts no shims")
	}
	if len(o.Program) == 0 {
		return nil, errors.New("it is not known how to start a shim")
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	child := exec.Command(o.Program[0], append(append([]string{}, o.Program[1:]...), filepath.Base(o.Room))...)
	child.Dir, child.Env = o.Room, append(o.Env[:len(o.Env):len(o.Env)], inside+"=1")
	child.Stdout, child.Stderr = o.Log, o.Log
	child.ExtraFiles = []*os.File{o.Lock, theirs}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("starting the engine's shim: %w", err)
	}
	return newLink(o.Room, ours, child, child.Process.Pid), nil
}

// pair makes a connection: this process's end, and one to be inherited.
func pair() (ours *net.UnixConn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "shim")
	if ours, err = inherited(uintptr(fds[0])); err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

const (
	dialTime  = 3 * time.Second
	maxSocket = 100 // bytes of a socket's path; the kernel takes 107
)

// Dial connects to the shim in a room that is locked. The link has no claim yet.
func Dial(ctx context.Context, room string) (*Link, error) {
	dir, err := openRoom(room)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	path, err := SocketPath(dir, socketName)
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	u, _ := c.(*net.UnixConn)
	uid, pid, err := peerOf(u)
	if err == nil && uid != ownUID() {
		err = fmt.Errorf("the shim in %s is user %d's", room, uid)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return newLink(room, u, nil, pid), nil
}

// SocketPath is where the socket of that name in the directory can be reached for as long as the directory
// is open. A data directory may lie deeper than a socket's path may be long: then the way leads through
// this process's open file.
func SocketPath(dir *os.File, name string) (string, error) {
	path := filepath.Join(dir.Name(), name)
	if len(path) <= maxSocket {
		return path, nil
	}
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("the path of the engine's socket has more than %d bytes: choose a shorter data directory than %s", maxSocket, dir.Name())
	}
	return filepath.Join("/proc", strconv.Itoa(os.Getpid()), "fd", strconv.FormatUint(uint64(dir.Fd()), 10), name), nil
}
