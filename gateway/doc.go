// Package gateway is what clients see of a node: the OpenAI-compatible API, the
// admin API, health and metrics, over fasthttp.
//
// node/ assembles it and gives it the parts that it declares in seams.go. It
// knows no actor, no Raft and no storage, and never imports those rooms. How a
// request goes through it is in node/docs/DESIGN.md.
package gateway
