// Command mockengine serves the MOCK engine of chaos/mockengine on a loopback
// address, for benchmarks and for trying failures by hand.
package main
