// Package slack has a process that serves many sleep a little longer than it asks for.
//
// The Go runtime's watcher (sysmon) sleeps for 20 µs at a time under load, and where it finds a thread in the same
// system call twice, it gives that thread's place to another one, which has to be woken for it. Under load a write that
// wakes an engine or a client takes as long as it is preempted, and need not be hurried. Linux may let a sleep
// last longer by the slack of its thread, 50 µs by default; with a millisecond the watcher wakes less often and takes
// fewer places away. Timers are not exact to a millisecond anyway: the runtime waits for them in whole ones.
package slack
