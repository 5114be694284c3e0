// Package api holds the description of a node's HTTP API, openapi.yaml, and
// the same as JSON for /openapi.json.
//
// The gateway serves it; the contract test holds the gateway to it. It imports
// a YAML reader alone.
package api
