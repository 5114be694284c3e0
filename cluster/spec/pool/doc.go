// Package pool lends memory that is used again, as sync.Pool does, and tells of every kind of pool in the
// same words: how often something was taken, how often there was none and it had to be made, how
// many there are, and what was refused or waited for where there is a bound.
//
// A Pool belongs to the package whose variable it is and lives as long as the process. Connections, queues and bounded
// memory count for themselves, and are shown by Collect. Every room may import it; it imports no room, and of what is
// not the standard library's the metrics alone.
package pool
