// Package trial simulates an engine behind a limit that a slots.Controller finds, or that is
// fixed, on virtual time: requests wait in one queue, are let in, and share what the engine
// writes. What a run tells follows from its arguments alone.
//
// The tests of package slots and node/bench/slots use it; no program that runs models does. It
// knows no prompts' reading, no clients that leave and one instance alone.
package trial
