// Package transport owns the cluster port: one TCP listener with mutual TLS 1.3
// that tells its protocols apart by ALPN, and UDP gossip on the same number.
//
// A protocol is served in one of three ways: by an http.Handler over HTTP/2
// (Handle; infer, state, blob, join), as raw connections (Listener; raft, gossip, chunks),
// or by handing the connection over untouched, by its ClientHello alone, to a
// server on loopback (Splice; actor). Client, Dial and ClientTLS are the other
// ends. A protocol that nobody serves is refused.
//
// Who the peer is comes from its certificate alone (Peer). Whether it is let in
// is for Config.Admit to say: at the handshake, again at each HTTP request, and
// for connections that stand once a second and at each Recheck, so that a removed
// node is out at once. What it may ask is for the handlers: see PeerOf and RequireRole. Only
// join is open to those without a certificate.
//
// HTTP/2 is net/http's: the peer's TLS connection is handed to an http.Server,
// and the client pools ClientConns by node id, since golang.org/x/net/http2 is
// deprecated in its favour. node/ opens the one Port of a process.
//
// Not done yet: handshakes are bounded in all and by address, so a flood from
// very many addresses still keeps others out while it lasts; a raw connection
// has no limit of bandwidth.
package transport
