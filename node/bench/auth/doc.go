// Command auth measures what it takes to know who asks and what they may do,
// with a million API keys: `make bench-auth`. What is measured takes turns with
// its reference (SHA-256 of the same secrets, verifying the same signatures), and
// each figure is the median of the rounds.
//
// It imports gateway/auth and gateway/access as the gateway does, and no other room.
package main
