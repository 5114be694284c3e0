// Package answers keeps whole answers of engines for requests that ask the same
// again, and lets requests that ask the same at the same time share one answer.
//
// A Cache is one device's. It is bounded in bytes at every moment, what is held of answers
// under way included but for the 64 KiB that each of them passes on by, chooses what to
// keep by W-TinyLFU, and knows what is kept by the time that it is given. actors/ asks it
// before a request is admitted and runs the flights that it begins. It decides; it starts
// no goroutine and knows no engine. It imports cluster/spec alone of the other rooms.
package answers
