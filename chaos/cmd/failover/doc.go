// Command failover measures how long nothing can be written when the leader of a
// cluster of real processes is killed by SIGKILL, and when it hands over:
// `make bench-failover`. It prints one line for each figure, and what it is to be.
//
// It calls chaos.Failover and imports no room.
package main
