//go:build mutant

package gateway

import (
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/mutant"
	"github.com/lotabots/lotabots/cluster/wire"
)

// droppedRevoke lets this gateway's table of keys miss a revocation, to show
// that the checks would notice it.
func droppedRevoke(k *wire.APIKey) bool {
	return mutant.On(mutant.DroppedRevoke) && k.GetRevokedMs() != 0
}

// droppedEnd does the same for sessions, and for bindings of roles.
func (g *Gateway) droppedEnd(r Ref) bool {
	if !mutant.On(mutant.DroppedRevoke) {
		return false
	}
	s, _ := g.cfg.State.Session(r.ID)
	_, bound := g.cfg.State.Binding(r.ID)
	return r.Kind == KindSession && s.GetRevokedMs() != 0 || r.Kind == KindBinding && !bound
}

// staleFor is how long a page is shown again.
const staleFor = 4 * time.Second

type pageKey struct {
	g              *Gateway
	tenant, cursor string
	limit          int
}

type oldPage struct {
	keys []*wire.APIKey
	next string
	read time.Time
}

var oldPages = struct {
	sync.Mutex
	at map[pageKey]oldPage
}{at: map[pageKey]oldPage{}}

// keysPage shows pages read some seconds ago under the index of now, to show
// that the checks would notice it.
func (g *Gateway) keysPage(tenant, cursor string, limit int) ([]*wire.APIKey, string) {
	if !mutant.On(mutant.StaleRead) {
		return g.cfg.State.Keys(tenant, cursor, limit)
	}
	oldPages.Lock()
	defer oldPages.Unlock()
	at := pageKey{g, tenant, cursor, limit}
	p, ok := oldPages.at[at]
	if !ok || time.Since(p.read) > staleFor {
		keys, next := g.cfg.State.Keys(tenant, cursor, limit)
		p = oldPage{keys, next, time.Now()}
		oldPages.at[at] = p
	}
	return p.keys, p.next
}
