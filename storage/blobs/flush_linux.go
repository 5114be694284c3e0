package blobs

import (
	"os"
	"syscall"
)

// flush has the disk begin with what was written, so that little is left to wait for at
// the end. It waits for nothing; what it cannot do is done at the end.
func flush(f *os.File, offset, length int64) {
	const write = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), offset, length, write)
}
