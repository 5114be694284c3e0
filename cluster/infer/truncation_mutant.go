//go:build mutant

package infer

import "github.com/lotabots/lotabots/cluster/spec/mutant"

// silentTruncation makes an answer that was cut short look whole, to show that
// the checks would notice it.
func silentTruncation() bool { return mutant.On(mutant.SilentTruncation) }
