// Command limits measures how exact limits are over a cluster without a central store:
// make bench-limits.
//
// Nine gateways with the production limiter (gateway/limit) ask four workers with real
// actors of limits (actors/quota), joined by the production keepers (node/quotas), in
// one process; a message takes a millisecond each way, and a death is known three
// seconds later, as gossip has it. More is asked for than the limits allow, half of it
// of one gateway. It prints how far what is admitted is off the limit in steady state,
// and how much over, in leases, it ever is when the limit's owner is killed again and again.
package main
