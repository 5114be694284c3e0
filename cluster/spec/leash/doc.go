// Package leash has the context of one piece of work: an attempt at a request, an engine's
// work for it. It is part of what it belongs to, and what hangs on it is a value with a
// method, so that work which ends well has cost no allocation. Contexts of the standard
// library that are derived from one end with it.
//
// The gateway and the actors hold their requests by it. It imports the standard library
// alone.
package leash
