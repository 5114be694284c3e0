// Package envelope packs the messages that actors of different nodes send each
// other: wire.Envelope is the only type that crosses, its payload is one of the
// kinds listed here, and who may send which kind is said here too.
//
// package actors and package gpu use it. It is pure, and imports cluster/spec and
// cluster/wire alone.
package envelope
