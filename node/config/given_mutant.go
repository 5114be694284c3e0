//go:build mutant

package config

var brokenEnv = []string{"LOTABOTS_MUTANT", "LOTABOTS_MUTANT_BIN"}
