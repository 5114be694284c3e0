//go:build !linux || race

package hop

import "syscall"

// Under the race detector these are those of the standard library, which tell it what a socket orders.

func readNow(fd uintptr, b []byte) (n int, err error) {
	for n, err = syscall.Read(int(fd), b); err == syscall.EINTR; {
		n, err = syscall.Read(int(fd), b)
	}
	return max(n, 0), err
}

func writeNow(fd uintptr, b []byte) (n int, err error) {
	for n, err = syscall.Write(int(fd), b); err == syscall.EINTR; {
		n, err = syscall.Write(int(fd), b)
	}
	return max(n, 0), err
}

// nothingCame tells whether the connection has nothing to be read, no end either.
func nothingCame(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN
}
