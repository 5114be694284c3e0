package models

import (
	"hash/fnv"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A View is what a node goes by when it decides about files.
type View struct {
	Self    spec.NodeID
	Keepers []spec.NodeID // living nodes that keep copies, in order
	Copies  int           // of each model, at least
	Models  []*wire.Model
	Placed  map[string][]spec.NodeID // nodes that have instances of a model, by its name
	Fresh   bool                     // the state is known to be new
}

// Homes are the nodes that are to have the model: those that it is placed on, and
// others until there are enough, its importer before the rest. Nodes with one view
// answer alike. One that dies or comes moves a model only where it is one of them.
func Homes(v View, m *wire.Model) []spec.NodeID {
	var homes []spec.NodeID
	for _, id := range v.Placed[m.GetName()] {
		if slices.Contains(v.Keepers, id) && !slices.Contains(homes, id) {
			homes = append(homes, id)
		}
	}
	slices.Sort(homes)
	rest := make([]spec.NodeID, 0, len(v.Keepers))
	for _, id := range v.Keepers {
		if !slices.Contains(homes, id) {
			rest = append(rest, id)
		}
	}
	slices.SortFunc(rest, func(a, b spec.NodeID) int {
		switch at, bt := rank(a, m), rank(b, m); {
		case at > bt:
			return -1
		case at < bt:
			return 1
		}
		return 0
	})
	for _, id := range rest {
		if len(homes) >= v.Copies {
			break
		}
		homes = append(homes, id)
	}
	return homes
}

// rank is how high a node hashes with the model's content; its importer has it already.
func rank(id spec.NodeID, m *wire.Model) uint64 {
	if string(id) == m.GetImportedOn() {
		return 1<<64 - 1
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // does not fail
	_, _ = h.Write(m.GetDigest())
	x := h.Sum64() // whose high bits hardly differ between nodes: mixed as splitmix64 does
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// wanted are the models that this node is to have, by digest, the placed ones first.
func wanted(v View) []*wire.Model {
	var placed, kept []*wire.Model
	for _, m := range v.Models {
		switch {
		case slices.Contains(v.Placed[m.GetName()], v.Self):
			placed = append(placed, m)
		case slices.Contains(Homes(v, m), v.Self):
			kept = append(kept, m)
		}
	}
	return append(placed, kept...)
}
