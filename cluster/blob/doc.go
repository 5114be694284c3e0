// Package blob brings model files from the nodes that hold them to those that
// need them, chunk by chunk.
//
// It owns the protocol (frame.go: Server answers it, on raw connections), the one that
// nodes of older builds have (GET /blob/{model}/{chunk}, Handler), and the fetching: from
// several holders at a time, also such as are fetching themselves, every chunk verified
// before it counts, what is there already never asked for again, all fetches together no
// faster than a Pace allows. The files themselves belong to a store, which comes in
// through interfaces. Which node is to have which model is for node/models to say.
//
// node/ has Server and Handler serve on the cluster port and gives Fetch to whatever loads
// models. The package imports no storage and no transport.
package blob
