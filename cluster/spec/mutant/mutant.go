//go:build mutant

package mutant

import (
	"os"
	"slices"
	"strings"
)

// Variable names the environment variable that chooses mutants, by comma.
const Variable = "LOTABOTS_MUTANT"

// A Name is one way to be broken.
type Name string

// The mutants.
const (
	SilentTruncation Name = "silent-truncation" // a stream that broke looks whole
	DoubleDispatch   Name = "double-dispatch"   // a request is served twice
	AckBeforeSync    Name = "ack-before-sync"   // a write is acknowledged before it is on disk
	StaleRead        Name = "stale-read"        // an answer claims a newer state than it was made from
	DroppedRevoke    Name = "dropped-revoke"    // the end of a key, a session or a binding is not taken over

	AnswerBeforeRecord Name = "answer-before-record" // a request is answered before its use is written down
)

var chosen = strings.Split(os.Getenv(Variable), ",")

// On tells whether this process is to be broken in that way.
func On(n Name) bool { return slices.Contains(chosen, string(n)) }
