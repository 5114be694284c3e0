// Package hop sends a request to an engine over HTTP/1.1 and reads its answer in the
// caller's own goroutine: a connection has no goroutine and, while nothing comes, no
// memory beside the socket's. net/http has two goroutines for each connection, and
// waking them was a fifth of what a request cost a node.
//
// It owns the connections of one server that wait for their next request. A request is
// sent once: again only where the connection that was kept took no byte of it. One that
// the server has closed meanwhile is seen before it is used. What ends the context, or
// closes the answer before its end, closes the connection, and so ends the engine's work.
//
// Answers are read strictly: what two readers could understand differently is an error.
// Only plain connections are served, and bodies that the kernel takes while nobody reads;
// for TLS and larger bodies there is net/http.
//
// actors/engine calls it. Of this module it imports cluster/spec/leash alone.
package hop
