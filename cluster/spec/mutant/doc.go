//go:build mutant

// Package mutant names the ways in which a build under the tag "mutant" can be
// broken on purpose, and tells which of them LOTABOTS_MUTANT asks for. The
// chaos harness runs such builds to show that its checks notice them.
//
// Files under the same tag in the rooms call it. No other build contains it: a
// test of the harness looks for its traces in the release binary.
package mutant
