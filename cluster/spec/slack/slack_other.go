//go:build !linux

package slack

// Take does nothing where there is no slack to be had.
func Take() {}

// Return has nothing to give back.
func Return() {}
