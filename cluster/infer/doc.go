// Package infer carries requests from a gateway to the node that serves them:
// an Opener on one node, reached from any other as an Opener.
//
// It owns the framing: POST /infer takes a length-prefixed wire.Call and the
// body, and answers with the engine's bytes as they come. HTTP/2 gives
// multiplexing, flow control and cancellation. An answer is whole only if the
// trailer Lotabots-End says so; anything else is spec.ErrBroken to the caller.
//
// node/ serves Handler on the cluster port and gives NewClient to the gateway.
// The package knows no certificate, actor or gateway: who the peer is and what
// it may do comes in through Config.
package infer
