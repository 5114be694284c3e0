package storage

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// layBytes is how far ahead of its end a log file is laid out.
const layBytes = 128 << 10

var zeros [layBytes]byte

// logFS is the file system of a database. It cares for the files of Pebble's log.
//
// It lays them out ahead of what is written to them. A sync of a file that grows
// has to write the file's new size to the file system's own journal as well, which
// takes half as long again. Pebble uses its log files over and over, for the same
// reason, but begins without any each time that it is opened.
//
// Once the database is open, a failure in the log, or in the sync of a directory,
// ends its writes, and the call that has failed never returns: what Pebble makes of
// the error is to panic, at times with its locks in disorder, which nothing catches.
type logFS struct {
	vfs.FS
	fail   func(error)
	opened atomic.Bool
}

// final passes err on until the database is open, and after that does not return
// if there is one.
func (fs *logFS) final(name string, err error) error {
	if err == nil || !fs.opened.Load() {
		return err
	}
	fs.fail(fmt.Errorf("%s: %w", name, err))
	select {}
}

// Create implements vfs.FS.
func (fs *logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if !strings.HasSuffix(name, ".log") {
		return f, err
	}
	if err := fs.final(name, err); err != nil {
		return nil, err
	}
	return &logFile{File: f, fs: fs, name: name}, nil
}

// ReuseForWrite implements vfs.FS. Pebble reuses nothing but logs.
func (fs *logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	if err := fs.final(name, err); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err := fs.final(name, err); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{File: f, fs: fs, name: name, laid: info.Size()}, nil
}

// OpenDir implements vfs.FS.
func (fs *logFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{f, fs, name}, nil
}

// Unwrap implements vfs.FS.
func (fs *logFS) Unwrap() vfs.FS { return fs.FS }

type folder struct {
	vfs.File
	fs   *logFS
	name string
}

// Sync implements vfs.File.
func (f *folder) Sync() error { return f.fs.final(f.name, f.File.Sync()) }

// A logFile is written from its beginning by one goroutine. Zeros are no record:
// a reader takes them for the end, as it takes the rest of a log that was there
// before.
type logFile struct {
	vfs.File
	fs       *logFS
	name     string
	at, laid int64 // where the next write goes, and the file's size
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if err := f.fs.final(f.name, err); err != nil {
		return n, err
	}
	if f.at += int64(n); f.at > f.laid {
		f.laid = f.at + layBytes
		_, _ = f.WriteAt(zeros[:], f.at) // without them the file is as sound, and slower
	}
	return n, nil
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error { return f.fs.final(f.name, f.File.SyncData()) }

// Sync implements vfs.File.
func (f *logFile) Sync() error { return f.fs.final(f.name, f.File.Sync()) }

// Close implements vfs.File.
func (f *logFile) Close() error { return f.fs.final(f.name, f.File.Close()) }
