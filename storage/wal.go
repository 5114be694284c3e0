package storage

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// layBytes is how far ahead of its end a log file is laid out.
const layBytes = 128 << 10

var zeros [layBytes]byte

// laidOut is a file system that lays out Pebble's log files ahead of what is
// written to them. A sync of a file that grows has to write the file's new size
// to the file system's own journal as well, which takes half as long again.
// Pebble uses its log files over and over, for the same reason, but begins
// without any each time that it is opened.
type laidOut struct{ vfs.FS }

func (fs laidOut) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &logFile{File: f}, nil
}

// ReuseForWrite implements vfs.FS. Pebble reuses nothing but logs.
func (fs laidOut) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{File: f, laid: info.Size()}, nil
}

// Unwrap implements vfs.FS.
func (fs laidOut) Unwrap() vfs.FS { return fs.FS }

// A logFile is written from its beginning by one goroutine. Zeros are no record:
// a reader takes them for the end, as it takes the rest of a log that was there
// before.
type logFile struct {
	vfs.File
	at, laid int64 // where the next write goes, and the file's size
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.at += int64(n)
	if err == nil && f.at > f.laid {
		f.laid = f.at + layBytes
		_, _ = f.WriteAt(zeros[:], f.at) // without them the file is as sound, and slower
	}
	return n, err
}
