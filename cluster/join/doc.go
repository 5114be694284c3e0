// Package join takes nodes into the cluster: a join token and a signing request
// against a certificate and the gossip key, and later a certificate against a
// newer one.
//
// A joining node trusts nobody but the authority whose digest its token carries.
// It gives the token to voters alone: a seed that is no voter is only asked where
// the voters are. A voter that holds the authority's key sealed to itself signs;
// one that cannot (a spare that is not in Raft's configuration yet) passes the
// request on to one that can. What a token may give is decided by its role; its
// use, the node's record and the resealed key of the authority are written
// through Raft before the answer leaves. Every step may be repeated: a joiner
// that lost the answer asks again with the same key and costs no second use.
//
// node/ mounts Handler on the protocols join and state, and calls Request and
// Renew. The package sees the state, Raft and the port through Config.
//
// Not done yet: a removed voter's wrap of the authority's key goes at the next
// resealing, but who kept the older record and its own key can still open that:
// a leaked voter needs a new authority.
package join
