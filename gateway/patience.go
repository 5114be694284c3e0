package gateway

import "time"

// Patience is how long the gateway waits; it may change while it serves.
type Patience struct {
	Queue     time.Duration // for room
	Load      time.Duration // for an instance that is being loaded
	FirstByte time.Duration // of an engine's answer
	Between   time.Duration // two bytes of a stream
}

// SetPatience is in force for requests that come from now on.
func (g *Gateway) SetPatience(p Patience) {
	g.table.SetQueueTimeout(p.Queue)
	g.table.SetLoadTimeout(p.Load)
	g.relay.SetPatience(p.FirstByte, p.Between)
}
