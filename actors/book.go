package actors

import (
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A book says which node is expected behind an address, so that nobody answers in
// another's name and nothing else is ever dialled.
type book struct {
	mu struct {
		sync.Mutex
		nodes map[string]spec.NodeID // by address
	}
}

func newBook() *book {
	b := &book{}
	b.mu.nodes = map[string]spec.NodeID{}
	return b
}

// write notes the node's address.
func (b *book) write(id spec.NodeID, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.nodes[address] = id
}

// strike removes the node and returns its addresses.
func (b *book) strike(id spec.NodeID) (addresses []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for address, n := range b.mu.nodes {
		if n == id {
			addresses = append(addresses, address)
			delete(b.mu.nodes, address)
		}
	}
	return addresses
}

func (b *book) expected(address string) (spec.NodeID, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, ok := b.mu.nodes[address]
	return id, ok
}
