//go:build mutant

package relay

import "github.com/lotabots/lotabots/cluster/spec/mutant"

// silentTruncation ends a stream that broke as if it were whole, to show that the
// checks would notice it. It is broken here beside package infer, since the relay by
// itself knows a stream that has no finish.
func silentTruncation() bool { return mutant.On(mutant.SilentTruncation) }
