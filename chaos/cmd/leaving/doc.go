// Command leaving measures how soon the work for a client ends that has left, running
// and queued, streamed and not, on two nodes with the embedded engine: `make
// bench-cancel`. It prints one line for each figure, and what it is to be.
//
// It calls chaos.Leaving and imports no room.
package main
