// Package storage opens the one Pebble database that a node keeps, and says who
// owns which of its keys.
//
// It owns the options of the database, the version of the format on disk, the
// prefixes of keys and what is told of the database in log and metrics. Its
// sub-packages raftlog and state keep their records there; nobody else sees
// Pebble. node/ opens it first and closes it last. The package imports no other
// room.
//
// It also watches the disk. A synced write that takes longer than 2 s is given up
// with an error, and others are refused until it has come back and what it wrote
// has been undone: a leader steps down by that. After a failed write to the log or
// manifest nothing more is written until the process starts anew, which it does
// not do by itself: it can be read, Health and the metrics tell of it, and whoever
// cannot go on without writing waits for ever.
//
// Pebble's log is laid out ahead of what is written to it, so that a sync need not
// write the file's size as well. Damage to it is told of by file and offset, and the
// database is not opened, except in the last 32 KiB that were written, or in the last
// change of the manifest: Pebble takes that for a write which a crash has torn.
//
// Not done yet: checkpoints, and acting on a full disk before writes fail.
package storage
