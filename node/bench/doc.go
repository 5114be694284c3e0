// Command bench measures what a request costs on its way through LotaBots, next
// to a bare fasthttp pass-through and to no way at all, with a mock engine at
// the end: `make bench-gateway`. Generator, engine and what is measured share
// one machine, so only ratios mean anything; rounds are interleaved so that a
// machine whose speed changes does so for all. All are processes of one session: Linux shares
// processors out by session first (sched_autogroup), and what is alone in one is preempted at each of its writes.
//
// With -against FILE another build is measured in turn with the first, so that what a
// change is worth shows on a busy machine too.
//
// Idle streams are held by a node that is started for them and has had a burst of streams before; what a
// process takes is read once it has stood still for a while.
//
// With -usage (`make bench-usage`) it compares nodes that write each request to the
// usage ledger's journal before its answer ends, on disk before that, and not at all.
//
// With -overload (`make bench-overload`) it sends thrice what a node can serve, at random
// and whatever becomes of it, and ten times as much for one tenant as for another.
//
// It starts real processes and imports the mock engine, node/client, node/dev
// and fasthttp, and no room.
package main
