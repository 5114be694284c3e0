// Command hostile has hostile clients attack one node over loopback, all kinds at once,
// beside ordinary requests: `make bench-hostile`. It prints how much memory the node took,
// what ordinary requests took alone and beside, and what each kind of client was told.
//
// It calls chaos.Hostile and imports no room.
package main
