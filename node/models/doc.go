// Package models keeps model files where they are needed, and nowhere else.
//
// Which node is to have which model is a pure rule (homes.go): those that it is placed
// on, and as many more as the setting models/copies wants, the importer first. Each
// node follows it for itself: the Keeper fetches what is wanted here, ahead of the
// first request, and removes what is not (discard.go): files that no record names,
// after a grace, and copies that others have, when models.disk is exceeded. Nothing is
// removed that a process has open, nor a copy that its homes do not promise to keep
// (promise.go), and nothing while this node's copy of the state is old.
//
// It also checks files against their digests and has them mended, pulls models from
// URLs, and tells the other nodes, by the cluster port, what is here and on its way.
//
// node/ has one Keeper. The package uses storage/blobs, cluster/blob and actors/egress,
// which it joins.
package models
