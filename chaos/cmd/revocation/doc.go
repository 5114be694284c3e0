// Command revocation measures how soon a key that is revoked is refused on every
// node of a healthy cluster of real processes: `make bench-revocation`. It prints
// one line for each figure, and what it is to be, next to what a write takes and
// how soon a new key is let in.
//
// It calls chaos.Revocation and imports no room.
package main
