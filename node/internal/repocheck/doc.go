// Package repocheck holds the tree to the house rules: which room may import
// what, package docs, sizes, names, the top level, the catalogue of errors, and
// no trace of a machine in the text. Its test is its only caller; each message
// says how to mend what it found. It imports nothing of the project.
package repocheck
