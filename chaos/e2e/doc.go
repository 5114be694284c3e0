// Package e2e shows that a whole cluster of real processes keeps its promises to
// real clients: the official libraries of OpenAI and Anthropic (clients), requests
// that schemathesis makes of the description (contract), a second engine, restarts
// and kills under load, a trace across nodes, and that no acknowledged write is lost.
// `make e2e` runs it; the build tag e2e keeps it out of the quick tests.
//
// It drives the lotabots binary from outside and imports chaos, and no room.
package e2e
