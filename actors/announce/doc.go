// Package announce keeps what one engine holds of prompts' beginnings, and says what of it gateways are to
// be told next: what has changed, twice, because datagrams get lost, and all of it again within a
// minute, because who hears it believes it for a short while only.
//
// package actors calls it, with what it asks the engine. It has no goroutine, clock or network, and
// imports cluster/wire alone.
package announce
