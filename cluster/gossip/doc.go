// Package gossip knows who is alive. It runs memberlist over the cluster port:
// packets on its UDP socket, streams through its mutual TLS, everything
// encrypted under the cluster's gossip key as well.
//
// It owns the table of living members, the file of remembered peers, and the
// loop that finds members again which gossip has lost: memberlist itself forgets
// a member half a minute after its death, so a longer partition would never
// heal. It also carries load digests, as single datagrams to single members,
// which it does not read.
//
// node/ starts it first of all cluster parts and tells the rooms what it learns.
// It imports the words of cluster/spec and no other part of the cluster; the
// port comes in as an interface.
//
// A death is seen after some two to three seconds on a LAN. Who must know sooner
// goes by failed connections. A process that ends and starts again within that
// time was never gone for the others: no event is told of it.
//
// Every holder of the gossip key can speak for any member, so nothing that needs
// an identity goes this way. The key is not rotated yet, and an advertised host
// name is resolved once, at the start.
package gossip
