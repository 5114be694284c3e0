// Package diskfault is a disk for tests that can stand still and whose syncs can
// fail. It owns no files: it stands before another file system.
//
// The tests of storage and its packages use it; no program does. It imports no
// other room.
package diskfault
