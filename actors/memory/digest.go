package memory

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Told is the candidate that a digest of that time tells of, as its device sees it but
// for fractions of seconds. onDemand says how it was placed, least its own least
// residency (0: the usual); young leaves that out of account, as for a load that
// always has its way.
func Told(i *wire.InstanceLoad, at time.Time, onDemand bool, least time.Duration, young bool) Candidate {
	c := Candidate{ID: spec.InstanceID(i.GetInstance()), Bytes: i.GetMemoryReserved(), Pinned: !onDemand, Leases: int(i.GetRunning()),
		LastUsed: at.Add(-time.Duration(i.GetIdleSeconds()) * time.Second), Demand: float64(i.GetDemand()), Reload: max(float64(i.GetLoadSeconds()), 1)}
	if i.GetState() == wire.InstanceState_INSTANCE_STATE_READY && onDemand {
		c.Ready = Ripe(at.Add(-time.Duration(i.GetServedSeconds())*time.Second), least, young)
	}
	return c
}

// Ripe is since when an instance that serves since ready has served as DefaultPolicy
// counts it, which has one least residency for all.
func Ripe(ready time.Time, own time.Duration, young bool) time.Time {
	least := DefaultPolicy.MinResidency
	switch {
	case young:
		return ready.Add(-least)
	case own > 0:
		return ready.Add(own - least)
	}
	return ready
}
