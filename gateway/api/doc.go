// Package api holds the description of a node's HTTP API, openapi.yaml, the
// same as JSON for /openapi.json, and a page for people, with the catalogue of errors.
//
// The gateway serves it; the contract test holds the gateway to it. It imports
// a YAML reader and the catalogue alone.
package api
