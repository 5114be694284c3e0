// Package egress decides which addresses a node may dial on somebody's behalf: those of external
// engines, and those that models are pulled from. A name proves nothing, since whoever has
// its zone may point it anywhere at any time; so the address is judged that is dialled, after the
// name was looked up, anew for every connection and for every redirect.
//
// Public addresses may be dialled. Loopback, link-local (where clouds keep their credentials),
// private and other special addresses may only where the operator lists them: as an address in the
// URL itself, or by a range. Addresses of the cluster's own ports may only in the URL itself.
//
// actors/engine and node/models call it. Policy.Check is pure; the package may import no other room.
package egress
