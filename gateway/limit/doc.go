// Package limit spends cluster-wide limits locally: a gateway leases a share of
// a limit from its owner, sized to its recent use, and admits requests from it
// without I/O until it is spent or has run out. What a request is counted with, such as
// the tokens of its prompt and of the answer to be expected, is settled once its use
// is known; what was used beyond leases is told to the owner, and what was not used is
// given back, within a second also where nobody asks for more.
//
// The gateway calls it; node/quotas brings it to the owners. It imports cluster/wire
// alone and reads time from an injected clock.
//
// While an owner cannot be reached the gateway spends its last lease. Then a limit that
// says so admits nothing, as budgets do by default; any other is shared: the gateway
// admits 1/N of it, N being the gateways that the cluster has, dead or alive, with a
// burst of a tenth of a second's worth, and the next owner is told. So N gateways admit the limit
// in sum, on both sides of a partition together.
package limit
