// Package e2e shows that a whole cluster of real processes keeps its promises to
// real clients: the official OpenAI libraries, a second engine, restarts and
// kills under load, a trace across nodes. `make e2e` runs it; the build tag e2e
// keeps it out of the quick tests.
//
// It drives the lotabots binary from outside and imports no room.
package e2e
