// Package reconcile makes what runs what is wanted: on the leader, once a second
// and when woken, it reads the state and the observations, asks package placement
// for a plan and carries it out.
//
// It owns the loop, what only time tells (since when a device is down, how often
// an instance failed) and the spacing of commands. That memory is the leader's
// own: a new leader begins its graces anew, which delays a move and never hastens
// one. Records change through Propose, devices through Command.
//
// node/ assembles it and has consensus call Run while this node leads. The
// package imports no Raft, actor, storage or gateway.
package reconcile
