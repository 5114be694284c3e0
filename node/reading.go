package node

import (
	"time"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/state"
)

// reading is the state as the gateway reads it.
type reading struct {
	*state.Store
	age func() time.Duration
}

func (r reading) Age() time.Duration { return r.age() }

// subscribe passes changes of the state on in the gateway's words.
func (r reading) subscribe(fn func(gateway.Change)) (cancel func()) {
	return r.Subscribe(func(c state.Change) {
		out := gateway.Change{Index: c.Index, Reset: c.Reset, Records: make([]gateway.Ref, len(c.Records))}
		for i, ref := range c.Records {
			out.Records[i] = gateway.Ref{Kind: kinds[ref.Kind], ID: ref.ID}
		}
		fn(out)
	})
}

// kinds has gateway.KindOther for what the gateway does not follow.
var kinds = map[state.Kind]gateway.Kind{
	state.KindTenant:     gateway.KindTenant,
	state.KindKey:        gateway.KindKey,
	state.KindDeployment: gateway.KindDeployment,
	state.KindPlacement:  gateway.KindPlacement,
}
