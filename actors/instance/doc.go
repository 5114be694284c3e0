// Package instance has the actor that keeps one engine running: it fetches the
// model's file, starts the engine, probes it, restarts it with back-off when it
// ends or stops answering, and gives up after crashes in a row.
//
// The GPU actor (package gpu) spawns one per instance and is told of each change
// by messages to the parent. Requests never pass here. The actor's goroutine owns
// the state; one goroutine at a time owns the engine, and the actor waits for it
// before it stops: when the actor is gone, so is the engine.
//
// Before it is told of as ready, an engine answers one request of the actor's own.
// From then on its life is judged by what moves: whoever serves leaves traces in the
// engine's pulse, and a watcher compares how long nothing has come with what the
// engine's own pace explains (liveness.go). When nobody asks it anything, a canary
// does. External engines are not ours to judge.
//
// It also has the engine load and unload LoRA adapters, as the parent says (adapters.go).
//
// It imports protoactor, actors/device, actors/engine, cluster/spec and
// cluster/wire, and no other room.
//
// An engine that has outlived the node's process before this one is attached to
// and not started; the rest of its life is as any other's.
package instance
