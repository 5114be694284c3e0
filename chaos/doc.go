// Package chaos breaks a cluster of real processes on purpose while clients use
// it, writes down what every client saw, and checks that against what LotaBots
// promises. The words: a fault is one thing that goes wrong, the plan is the
// faults of one seed, the nemesis carries it out, the workload makes the load,
// the history is what was seen, a checker judges it.
//
// `lotabots chaos run` calls Run; e2e calls System, which writes and reads the
// cluster's records alone while leaders are killed, and Access, which watches who
// is let in while keys, roles and sessions come and go. cmd/failover calls
// Failover, which measures how long a dead leader stops writes, and cmd/revocation
// Revocation, which measures how soon every node refuses a revoked key; cmd/leaving
// calls Leaving, which measures how soon the work for a client ends that has left, and
// cmd/hostile Hostile, which attacks a node as clients can. The package drives
// processes from outside: it imports node/dev, node/client and node/config, and no room.
package chaos
