// Package gateway is what clients see of a node: the OpenAI-compatible API, and
// Anthropic's in terms of that; the admin API, sessions, health and metrics, over fasthttp.
//
// Everything that is served stands in one list (Operations), with the verb that it
// takes and what it is done to. A request is identified, brought to the state that
// it asks for, and then authorised, by gateway/auth and gateway/access; lists give
// what the caller may see. gateway/guard slows down who guesses.
//
// Requests that are not one JSON object (forms, KServe's tensors) are looked at where
// they lie (examine.go), and what no instance can do is refused (able.go) by what
// digests tell of abilities. Not done: Triton's generate and generate_stream.
//
// node/ assembles it and gives it the parts that it declares in seams.go. It
// knows no actor, no Raft and no storage, and never imports those rooms. How a
// request goes through it is in node/docs/DESIGN.md.
package gateway
