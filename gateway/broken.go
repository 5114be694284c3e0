//go:build !mutant

package gateway

import "github.com/lotabots/lotabots/cluster/wire"

// droppedRevoke is the broken build's: see broken_mutant.go.
func droppedRevoke(*wire.APIKey) bool { return false }

// droppedEnd is, too.
func (*Gateway) droppedEnd(Ref) bool { return false }

// keysPage reads a page of the keys from this node's copy of the state.
func (g *Gateway) keysPage(tenant, cursor string, limit int) ([]*wire.APIKey, string) {
	return g.cfg.State.Keys(tenant, cursor, limit)
}
