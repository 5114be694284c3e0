// Package starved tells for how long threads that had something to do waited for a processor. The embedded engine
// asks it about itself, instances about their engines; it imports nothing of the project.
package starved
