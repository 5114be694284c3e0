// Package dev runs a whole cluster on one machine for people to try and for
// tests to break: real node processes on loopback, joined by tokens as real
// ones are, with the demonstration's model deployed.
//
// It drives nodes from outside, through the command line's own parts and the
// API. `lotabots dev` and the chaos harness call it.
package dev
