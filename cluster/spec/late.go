package spec

import "time"

// Numbers that gateways and actors share when a request waits for a place.
const (
	// GateBacklog is how much unread prompt, in seconds at its measured speed, an
	// instance takes in before requests wait at their gateways; three round trips to
	// them come on top, so that it does not idle while a grant and its request travel.
	GateBacklog = 200 * time.Millisecond
	// GateKV is the share of its cache, the request's prompt included, up to which an
	// instance that is busy takes requests in.
	GateKV = 0.9
	// LeaseLeast is the least that a granted place is kept for its gateway.
	LeaseLeast = 100 * time.Millisecond
	// ReservationLife is how long a reservation that is not renewed stands: its gateway
	// may be dead. ReservationRenewal is how often gateways renew them.
	ReservationLife    = 5 * time.Second
	ReservationRenewal = time.Second
)

// A Reservation is what a gateway leaves with the actor of an instance for the
// requests that wait for a place there. The newest of a gateway's stands for all
// of its before.
type Reservation struct {
	Gateway  NodeID
	Instance InstanceID
	Seq      uint64 // rises with every one of the gateway's, also over its restarts; 0: this is none
	Count    int    // requests that wait; 0 takes the reservation back
	// What follows is of the request that would be served first.
	Priority int           // higher goes first
	Tenant   uint32        // mark of its tenant
	Age      time.Duration // since it came
	Cost     int           // its prompt's tokens that are not expected to be cached
	Declined uint64        // lease that the gateway gives back unused; 0: none
}

// A Lease is a place that an actor keeps for a gateway for a while. A request binds
// it by naming it; one that comes too late is an ordinary request.
type Lease struct {
	Gateway  NodeID
	Instance InstanceID
	ID       uint64 // of the instance's; never 0
	Lasts    time.Duration
	Load     Load
}
