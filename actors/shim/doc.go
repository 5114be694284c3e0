// Package shim holds one engine's process, so that the engine can outlive the node's process and nothing
// outlives both. A shim is `lotabots engine-shim`, one per engine, in a session of its own.
//
// Package engine calls it: Start makes a shim and Open finds one again; both return a Link, which is a
// claim on the engine for as long as its connection is open. Run is the shim itself, called by the
// command. The package imports the standard library, x/sys and slack alone; it knows no presets, models or
// actors: what the node wants to find again is an opaque note.
//
// # The shim
//
// It starts with the room's lock as file 3, a first connection as file 4 and the room as its working
// directory. The kernel ends the lock with the process, so a room that is locked has a shim, and one that
// is not locked has at most leftovers (Sweep). Others connect to the socket in the room; peers of another
// user are turned away.
//
// What it decides is machine's, a pure state machine:
//
//	empty     no engine yet. Losing the claim ends the shim.
//	running   the engine runs. Losing the claim starts the linger; its end, a stop, another instance's claim or SIGTERM
//	          leads to stopping. A linger of 0 leads straight to killing: nobody reads the answers.
//	stopping  SIGTERM was sent; the end of the grace leads to killing.
//	killing   SIGKILL was sent to the group; only the engine's end leads on.
//	ended     the engine is gone, and what it started: the shim tells every connection and ends.
//
// One connection claims at a time. A newer process of the same node displaces an older one's; a lower
// epoch is refused; a claim of another instance with a higher epoch ends the engine (it is fenced).
//
// # What dies with what
//
//	the engine ends       the shim kills its group, its adopted descendants and its cgroup, and ends
//	the shim is killed    the kernel kills the engine (PDEATHSIG, or the leash), the node or the next one sweeps
//	the shim stands still the node's pings go unanswered: it kills all that is below the shim, then the shim
//	the node is killed    the claim's connection breaks: linger
//
// A cgroup of the engine's own, where one can be had, catches what has left the engine's session while
// nobody watched. Without one, such a process can survive if the shim is killed too.
//
// # The protocol
//
// JSON lines, at most maxLine bytes, each with its version. Unknown fields are ignored; a version that is
// not spoken is answered by an explanation with those that are. testdata has what earlier versions said.
package shim
