// Package balance knows how full every instance is, as far as this gateway can
// tell, and chooses where a request goes: the instances' digests, this
// gateway's own requests in flight on top, and a short queue for the times when
// nobody has room, which gateway/fair orders. An instance that fails its requests is left alone by a breaker.
//
// The gateway's relay calls it; node/ feeds it digests and members. It imports
// cluster/spec, cluster/wire and gateway/fair alone. Pick is a pure function.
package balance
