package storage

// A Prefix is the first byte of a key: the part of the database that one
// package owns. A prefix is never given to another owner.
type Prefix byte

// The prefixes. State is followed by a generation: see package state.
const (
	Meta    Prefix = 'm' // of this package: what holds for the whole database
	RaftLog Prefix = 'l' // raftlog: entries by index
	Stable  Prefix = 's' // raftlog: Raft's own variables by name
	State   Prefix = 't' // state: records
	Usage   Prefix = 'u' // usage: the ledger of this node's own requests
)

// Key is the key that ends in the given parts, one after the other.
func (p Prefix) Key(parts ...[]byte) []byte {
	n := 1
	for _, b := range parts {
		n += len(b)
	}
	k := append(make([]byte, 0, n), byte(p))
	for _, b := range parts {
		k = append(k, b...)
	}
	return k
}

// End is the first key beyond the prefix.
func (p Prefix) End() []byte { return []byte{byte(p) + 1} }
