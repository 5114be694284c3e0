// Package canonical names requests, so that two that mean the same to an engine have
// the same name, and two that may not have different ones.
//
// The gateway calls it for deployments that keep answers. It is a pure function of
// bytes, knows no key or tenant, and imports no other room.
package canonical
