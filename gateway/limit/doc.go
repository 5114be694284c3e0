// Package limit spends a cluster-wide rate locally: a gateway leases a share of
// a limit from its owner, sized to its recent use, and admits requests from it
// without I/O until it is spent or has run out.
//
// The gateway calls it; node/ joins it to the owners. It imports cluster/wire
// alone and reads time from an injected clock.
//
// While an owner cannot be reached the gateway follows the rule "share": it
// admits 1/N of the rate, N being the gateways alive, with a burst of ten seconds'
// worth. So N gateways that see N alike admit the rate in sum, plus those bursts;
// gateways on the two sides of a partition may each count fewer, and then admit
// up to once the rate per side.
package limit
