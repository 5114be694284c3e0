// Package actors runs models: it owns the node's actor system, the actor of each
// device, the engines under them, and the actor that keeps limits.
//
// node/ starts it with Start and joins it to the rest: Opener serves requests on
// this node's devices, Command brings a command to a device of any node, Digest
// is told how full the devices are. It imports cluster/spec and cluster/wire of
// the other rooms, nothing else; only this room imports protoactor.
//
// Actors decide, streams carry: Admit and Release are messages to the device's
// actor, the engine's bytes pass no mailbox. Between nodes only wire.Envelope
// travels, by protoactor's remote over the cluster port; a guard in front of it
// admits what members of a role may send and makes a stranger's message harmless.
//
// Not done yet: cross-node watches are admitted but used by nobody; requests hold
// no standing reservations.
package actors
