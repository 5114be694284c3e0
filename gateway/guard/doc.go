// Package guard slows down whoever tries credentials that do not fit: it counts
// failed attempts by subject (a client's address, the id in a key, a login's
// name) and tells how long the next attempt of that subject is held back. It also
// gathers what has failed into few lines for the audit log, and remembers for a
// while what is to count no more (Memory). A Pace bounds what succeeds.
//
// The gateway calls it, on failures alone: a credential that fits costs nothing
// here. It does no I/O, holds a bounded number of subjects and imports nothing of
// this program.
package guard
