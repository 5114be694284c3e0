package blobs

import (
	"errors"
	"os"
	"syscall"
)

// openDirect opens a file whose writes, or reads, go past the page cache: a model that
// comes is not read here now, and would push out those that engines have mapped; and the
// kernel's copy costs more than all else that is done with a byte. The error is the file
// system's where it has no such thing.
func openDirect(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag|syscall.O_DIRECT, 0)
}

// reserve has the disk set room aside for a file of that size. Where the file system does
// not do so nothing is reserved.
func reserve(f *os.File, size int64) (done bool, err error) {
	if size == 0 {
		return true, nil
	}
	for {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL):
			return false, nil
		}
		return err == nil, err
	}
}
