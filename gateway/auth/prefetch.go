//go:build amd64 || arm64

package auth

import "unsafe"

// prefetch has the CPU fetch the 128 bytes at that address into its caches, and
// does not wait for them. It reads nothing, so any address will do. A load in Go
// does not do: what comes after it soon waits for it, and the compiler may move it.
//
//go:noescape
func prefetch(at unsafe.Pointer)
