//go:build !mutant

package config

// brokenEnv are the variables of the builds that are broken on purpose: this one
// is whole, and tells who sets them that they do nothing.
var brokenEnv []string
