package spec

import "hash/fnv"

// AdapterMark stands for an adapter's name in load digests, where names have no
// room. Two names of one mark make a router's guess worse and nothing wrong.
func AdapterMark(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash takes everything
	return h.Sum32()
}
