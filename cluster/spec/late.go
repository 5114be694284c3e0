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
	// AgedAfter is how long the oldest of a lower priority waits until it is given a place
	// now and then before those of higher ones: one in AgedEvery. Gateways go by it among
	// their own, and actors among gateways.
	AgedAfter = 5 * time.Second
	AgedEvery = 16
)

// Bands are how many wait of each priority, the lowest first.
type Bands [4]uint8

// Sum is how many wait.
func (b Bands) Sum() (n int) {
	for _, of := range b {
		n += int(of)
	}
	return n
}

// Next is the priority of the one that is served after so many others, the highest
// first; below 0: there is none.
func (b Bands) Next(after int) int {
	for p := len(b) - 1; p >= 0; p-- {
		if after -= int(b[p]); after < 0 {
			return p
		}
	}
	return -1
}

// A Reservation is what a gateway leaves with the actor of an instance for the
// requests that wait for a place there. The newest of a gateway's stands for all
// of its before.
type Reservation struct {
	Gateway  NodeID
	Instance InstanceID
	Run      uint64        // of the gateway's process, told from its others; 0: an older build's, which does not say
	Seq      uint64        // rises with every one of the run's, and with the clock from run to run, by which older builds go; 0: this is none
	Count    int           // requests that wait; 0 takes the reservation back
	Bands    Bands         // their priorities; all 0: an older build's, which does not say
	Oldest   time.Duration // since the first of them came; 0: not said
	// What follows is of the request that would be served first if none had aged: one of
	// the highest priority.
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
