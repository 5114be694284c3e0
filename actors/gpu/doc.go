// Package gpu has the actor of one device, be it a GPU, the CPU or a simulated
// one. Its mailbox is the one place where the device's state changes: which
// instances it holds, what memory they have reserved, who holds a lease.
//
// package actors spawns it under the device's id, brings it commands as
// envelopes, admissions and releases as plain messages where they do not pass by a
// lane (lane.go), and takes its digests.
// Decisions are methods of table, which does nothing else; the actor carries them
// out: it spawns and stops instance actors (package instance), its children.
//
// It imports protoactor, its sister packages under actors, cluster/spec and
// cluster/wire, and no other room. It never blocks.
//
// An instance is always loaded, or loaded on demand: by its first request, for as
// long as nobody else has more use for the memory (residency.go, package memory).
//
// LoRA adapters are loaded into an instance by their first request, and give their
// place to others (adapters.go). The memory that they take is part of what the instance reserves;
// what an engine that was taken over has loaded is not known until it is asked for.
//
// A fault of the device (faults.go) restarts the engine that had it, or keeps work
// away until an operator resumes the device, or ends all that ran there. Heat
// lowers the slots of its instances. So does what is seen of engines that serve fewer at a time
// as well (resize.go, package slots).
//
// Requests wait at their gateways, and are granted places when there are some
// (grants.go, package gate).
package gpu
