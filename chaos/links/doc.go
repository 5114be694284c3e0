// Package links stands between the nodes of a cluster on one machine and cuts
// them off from each other, in one direction or in both, as a network would.
//
// Node j (from 1) listens on 127.77.X.j and tells the others the address of its
// relay, 127.77.X.(100+j), on the same port. A node's connections and packets
// come from the address it listens on, so a relay knows who sends, and each
// directed link can be cut by itself. X differs between clusters on one machine.
//
// The chaos harness calls it. It knows sockets and nothing of LotaBots.
package links
