// Package relay carries one inference request to an instance and its answer
// back: it takes a place, opens the call, tries another instance while nothing
// has reached the client, within a budget (budget.go), or another deployment
// (fallback.go), asks a second one for a short answer that is late (hedge.go), passes
// the events on, has another instance go on with a stream that breaks off, and ends
// every request in exactly one way.
//
// Of a streamed chat or completion it asks the engine for the usage, and, where the
// engine can go on behind them, for token ids (compose.go); both are taken out again
// unless the client asked. What passed is kept in a transcript, from which a stream
// that breaks off is resumed (resume.go): by token ids, or by its text. It is whole once
// each of its choices has told why it ended, and not before, whatever else ends it.
//
// A request may have a second form (native.go), for instances that speak the client's API
// themselves. One that says that it does not is remembered, and gets the first.
//
// An answer that nobody here can read, such as sound, passes as it comes (raw.go): one
// that breaks off ends with the connection.
//
// The gateway calls it. It imports gateway/balance, gateway/openai, fasthttp's
// body interface and cluster/spec, and reaches engines through spec.Opener alone.
package relay
