// Package storage opens the one Pebble database that a node keeps, and says who
// owns which of its keys.
//
// It owns the options of the database, the version of the format on disk, the
// prefixes of keys and what is told of the database in log and metrics. Its
// sub-packages raftlog and state keep their records there; nobody else sees
// Pebble. node/ opens it first and closes it last. The package imports no other
// room.
//
// Not done yet: backups by checkpoint, and a watch on the disk that turns a
// stalled write into an error of raftlog. A stall is told of (log and metrics),
// and the write waits.
package storage
