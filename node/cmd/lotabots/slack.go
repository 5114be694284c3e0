package main

import (
	"os"

	"github.com/lotabots/lotabots/cluster/spec/slack"
)

// Whoever serves takes slack, before a signal is caught that would be forgotten with the program's first run. An init
// is on the process's first thread, whose end its parent may be bound to: another thread's word for that would count.
func init() {
	if serves(os.Args[1:]) {
		slack.Take()
	}
}

// serves tells whether the command line is one of `node run` or `gateway`.
func serves(args []string) bool {
	return len(args) > 0 && args[0] == "gateway" || len(args) > 1 && args[0] == "node" && args[1] == "run"
}
