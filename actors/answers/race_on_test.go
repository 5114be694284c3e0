//go:build race

package answers

const raceEnabled = true
