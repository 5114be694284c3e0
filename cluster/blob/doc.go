// Package blob brings model files from the nodes that hold them to those that
// need them, chunk by chunk.
//
// It owns the protocol (GET /blob/{model}/{chunk}, each with the model's digest)
// and the fetching: from several holders at a time, every chunk verified before
// it is kept, what is there already never asked for again, all fetches together no
// faster than a Pace allows. The files themselves belong to a store, which comes in
// through interfaces. Which node is to have which model is for node/models to say.
//
// node/ serves Handler on the cluster port and gives Fetch to whatever loads
// models. The package imports no storage and no transport.
package blob
