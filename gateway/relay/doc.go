// Package relay carries one inference request to an instance and its answer
// back: it takes a place, opens the call, tries another instance while nothing
// has reached the client, passes the bytes on, and ends every request in
// exactly one way.
//
// The gateway calls it. It imports gateway/balance, gateway/openai, fasthttp's
// body interface and cluster/spec, and reaches engines through spec.Opener alone.
package relay
