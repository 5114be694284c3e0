// Package spec holds the words that the rooms share: ids, roles, the target
// and stream of a request, and the catalogue of public errors.
//
// Everybody may import it; it imports the standard library alone, so that no
// room reaches another through it. What travels between processes is in
// cluster/wire.
package spec
