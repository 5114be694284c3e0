// Package node assembles one LotaBots process out of the rooms: storage,
// cluster, actors and gateway. It owns the order in which they start and stop,
// the data directory, and the small adapters by which one room serves another.
//
// cmd/lotabots, dev and chaos call it; nothing else may. It decides nothing that
// a room can decide for itself.
package node
