// Package pki owns who is who: the cluster's certificate authority, a node's
// keys and certificate on disk, join tokens, and values sealed to chosen nodes.
//
// Everything is Ed25519 and X25519. A node's certificate has the node's id as
// common name and its roles as organisational units; its serial number carries a
// mark of the key that it certifies (see Mark), so that a node's record, which
// keeps the serial, tells whether another certificate is of the same key. The
// authority's key is 32 bytes that live on disk only inside a sealed wire.Secret.
//
// cluster/transport checks peers by Verify, cluster/join signs, node/ makes the
// first authority. The package imports spec and wire alone, and reads no clock
// but the one it is given.
//
// Not done yet: replacing the authority's certificate (it lasts a century) or
// its key after a voter is suspected to have leaked it.
package pki
