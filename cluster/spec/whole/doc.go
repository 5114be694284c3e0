// Package whole writes files that are there whole or not at all: whoever reads one finds the
// content that it had before or the new one, while it is written, after a step that failed,
// and after the process or the machine has ended in the middle.
//
// All rooms keep their small files by it: a node's membership and keys, what is learnt of
// engines, the pulls under way. It imports the standard library alone.
package whole
