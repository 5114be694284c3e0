// Package account finds the operating system's user that engines run as, and tells whether this process
// may start programs as somebody else and what keeps that user from a file.
//
// node/config checks a name with it, and node, actors/engine and the tests go by what it finds. It imports
// the standard library only.
package account
